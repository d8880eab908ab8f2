import json
import re
import subprocess
import sys
import time
import types
import warnings

import pytest

import gnnvcell
from gnnvcell.cli import main as main_module
from gnnvcell.cli.main import GROUPS, main, make_parser
from gnnvcell.errors import ConfigError, GnnvcellWarning

PYTHON = sys.executable


def best_of_three(*command: str) -> float:
    """Seconds; the best of three, because a machine that runs tests is busy."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return min(times)


def test_import_is_quick() -> None:
    assert best_of_three(PYTHON, "-c", "import gnnvcell") < 0.5


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["graph", "--help"], ["graph", "build", "--help"]])
def test_help_is_quick(arguments: list[str]) -> None:
    assert best_of_three(PYTHON, "-m", "gnnvcell.cli.main", *arguments) < 1.5


def test_nothing_heavy_is_imported_before_a_verb_runs() -> None:
    code = (
        "import sys; from gnnvcell.cli.main import make_parser; make_parser().format_help();"
        "print([m for m in ('numpy', 'torch', 'dgl', 'pandas', 'pydantic', 'matplotlib', 'numba') if m in sys.modules])"
    )
    found = subprocess.run([PYTHON, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out.strip() == f"gnnvcell {gnnvcell.__version__}"


def test_every_group_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for group in GROUPS:
        assert f"\n    {group} " in text


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert "graph" in captured.err
    assert captured.out == ""


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["grahp"])
    assert left.value.code == 2
    assert "grahp" in capsys.readouterr().err


def run_verb(monkeypatch: pytest.MonkeyPatch, run, *before: str) -> int:
    """``main`` with a verb group of one verb that does what ``run`` does."""
    group = types.ModuleType("gnnvcell.cli.fake")

    def add_parser(subparsers) -> None:
        subparsers.add_parser("fake").set_defaults(run=run)

    group.add_parser = add_parser  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gnnvcell.cli.fake", group)
    monkeypatch.setattr(main_module, "GROUPS", ("fake",))
    return main([*before, "fake"])


def raising(error: BaseException):
    def run(arguments) -> int:
        raise error

    return run


def test_user_errors_are_messages(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    error = ConfigError("bad thing 'x'", expected="y", remedy="write y")
    assert run_verb(monkeypatch, raising(error)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: bad thing 'x'\n  expected: y\n  what to do: write y\n"


def test_debug_shows_where(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_verb(monkeypatch, raising(ConfigError("bad")), "--debug") == 2
    captured = capsys.readouterr()
    assert "Traceback" in captured.err
    assert captured.err.endswith("error: bad\n")


def test_errors_of_the_system_are_messages(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_verb(monkeypatch, raising(PermissionError(13, "Permission denied", "/x/y"))) == 2
    assert "Permission denied: '/x/y'" in capsys.readouterr().err


def test_mistakes_of_the_library_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        run_verb(monkeypatch, raising(ZeroDivisionError("a bug")))


def test_interruption(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_verb(monkeypatch, raising(KeyboardInterrupt())) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1)])
def test_exit_codes(monkeypatch: pytest.MonkeyPatch, returned: int | None, code: int) -> None:
    assert run_verb(monkeypatch, lambda arguments: returned) == code


def test_warnings_of_the_library_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(arguments) -> int:
        warnings.warn("half of the names are unknown", GnnvcellWarning, stacklevel=1)
        warnings.warn("not ours", UserWarning, stacklevel=1)
        return 0

    before = warnings.showwarning
    with pytest.warns(UserWarning, match="not ours") as others:
        assert run_verb(monkeypatch, run) == 0
    assert [str(other.message) for other in others] == ["not ours"]
    assert warnings.showwarning is before
    assert capsys.readouterr().err == "warning: half of the names are unknown\n"


def test_a_closed_pipe_is_quiet() -> None:
    """``gnnvcell graph build --help | head -1`` and the like: no complaint on stderr."""
    code = (
        "import sys, types; from gnnvcell.cli import main as m\n"
        "g = types.ModuleType('gnnvcell.cli.fake')\n"
        "def run(a):\n"
        "    for i in range(200000): print('line', i)\n"
        "g.add_parser = lambda s: s.add_parser('fake').set_defaults(run=run)\n"
        "sys.modules['gnnvcell.cli.fake'] = g; m.GROUPS = ('fake',)\n"
        "sys.exit(m.main(['fake']))\n"
    )
    process = subprocess.Popen([PYTHON, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"line 0\n"
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) == 141


def test_info_names_versions_and_hardware(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    import torch

    assert found["gnnvcell"] == gnnvcell.__version__
    assert found["torch"] == torch.__version__
    assert found["torch threads"] == str(torch.get_num_threads())
    assert "numba" in found["kernels"]
    assert found["dgl loads"].startswith("yes")
    assert main(["info"]) == 0
    versions, table = capsys.readouterr().out.split("\n\n")
    lines = dict(re.split(" {2,}", line) for line in versions.splitlines())
    assert lines["torch"] == torch.__version__
    assert table.splitlines() == gnnvcell.ops.format_table().splitlines()
    for row, line in zip(found["kernel table"], table.splitlines()[1:], strict=True):
        assert line.split()[:2] == [row["operation"], row["device"]]
        assert row["kernel"] in line


def test_groups_are_modules_with_a_parser() -> None:
    parser = make_parser()
    assert parser.parse_args(["info"]).run.__module__ == "gnnvcell.cli.info"
    assert parser.parse_args(["graph", "info", "DIR"]).run.__module__ == "gnnvcell.cli.graph"
