"""The how-tos are run as they stand: files that they show are written, commands and Python run in their order."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from gnnvcell.cli.main import main


def follow(document: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Do what a how-to says, in an empty folder.

    A block of TOML is written to the file that its first line names, blocks of ``sh`` and ``python`` are run; the
    Python of a document is one session.

    Returns:
        The names that the session has in the end.
    """
    monkeypatch.chdir(folder)
    session: dict[str, Any] = {"__name__": "__main__"}
    for language, content in document.blocks:
        if language == "toml":
            name = content.splitlines()[0].removeprefix("# ")
            (folder / name).write_text(content, encoding="utf-8")
        elif language == "python":
            exec(compile(content, document.path, "exec"), session)
        elif language == "sh":
            for line in content.replace("\\\n", " ").splitlines():
                name, *arguments = shlex.split(line, comments=True)
                assert name == "gnnvcell", line
                assert main(arguments) == 0, line
    return session


def test_own_graph(
    documents: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = documents["docs/own_graph.md"]

    session = follow(document, tmp_path, monkeypatch)

    printed = capsys.readouterr().out
    (shown,) = [content for language, content in document.blocks if language == "text"]
    assert shown in printed
    graph = session["graph"]
    assert sorted(graph.relations) == ["lab_ppi", "member_of", "string", "subpathway_of", "tf_regulates"]
    assert sorted(graph.table("tf_regulates").sign.tolist()) == [-1, 1]
    assert session["coexpressed"].relations == ["coexpressed"]
    assert (tmp_path / "graph_rewired").is_dir()
    assert (tmp_path / "plots" / "degrees.png").is_file()
    assert "rewired" in (tmp_path / "bench" / "table.md").read_text()
