import gzip
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from gnnvcell.errors import ConfigError, DownloadError, FileFormatError
from gnnvcell.graphs.fetch import RECORD, fetch, read_record

FAST: dict[str, Any] = {"progress": False, "wait": 0.001, "timeout": 5.0}


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def recipe(server: Any, **links: Any) -> dict[str, Any]:
    return {
        "sources": {
            "string_db": {
                "type": "string",
                "release": "12.0",
                "licence": "CC BY 4.0",
                "urls": [
                    {"url": f"{server.url}/v12/links.txt.gz", **links} if links else f"{server.url}/v12/links.txt.gz"
                ],
            },
            "go": {"type": "go", "release": "2026-10", "urls": [f"{server.url}/go/go-basic.obo"]},
            "own_edges": {"type": "table"},
        }
    }


def test_files_come_whole_and_are_recorded(server: Any, tmp_path: Path) -> None:
    report = fetch(recipe(server), tmp_path, **FAST)
    assert (tmp_path / "links.txt.gz").read_bytes() == server.files["/v12/links.txt.gz"]
    assert (tmp_path / "go-basic.obo").read_bytes() == server.files["/go/go-basic.obo"]
    assert [f.status for f in report.files] == ["downloaded", "downloaded"]
    assert report.without_urls == ("own_edges",)
    assert "own_edges" in str(report)
    record = json.loads((tmp_path / RECORD).read_text())["links.txt.gz"]
    assert record["sha256"] == sha(server.files["/v12/links.txt.gz"])
    assert record["bytes"] == len(server.files["/v12/links.txt.gz"])
    assert (record["release"], record["licence"]) == ("12.0", "CC BY 4.0")
    assert record["url"] == f"{server.url}/v12/links.txt.gz"
    assert record["etag"] == server.tag("/v12/links.txt.gz")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([RECORD, "links.txt.gz", "go-basic.obo"])


def test_second_time_downloads_nothing(server: Any, tmp_path: Path) -> None:
    fetch(recipe(server), tmp_path, **FAST)
    asked = len(server.requests)
    report = fetch(recipe(server), tmp_path, **FAST)
    assert [f.status for f in report.files] == ["present", "present"]
    assert len(server.requests) == asked


def test_a_file_of_another_url_or_content_is_replaced(server: Any, tmp_path: Path) -> None:
    fetch(recipe(server), tmp_path, **FAST)
    (tmp_path / "go-basic.obo").write_bytes(b"scribbled over")
    server.files["/v13/links.txt.gz"] = newer = gzip.compress(b"newer", mtime=0)
    values = recipe(server, url=f"{server.url}/v13/links.txt.gz")
    report = fetch(values, tmp_path, **FAST)
    assert [f.status for f in report.files] == ["replaced", "replaced"]
    assert (tmp_path / "links.txt.gz").read_bytes() == newer
    assert (tmp_path / "go-basic.obo").read_bytes() == server.files["/go/go-basic.obo"]


def test_a_file_brought_by_hand_stays_and_is_called_unverified(server: Any, tmp_path: Path) -> None:
    (tmp_path / "go-basic.obo").write_bytes(b"my own ontology")
    for _ in range(2):
        report = fetch(recipe(server), tmp_path, sources=["go"], **FAST)
        assert report.files[0].status == "unverified"
        assert (tmp_path / "go-basic.obo").read_bytes() == b"my own ontology"


def test_an_abandoned_download_is_taken_up_by_the_next_call(server: Any, tmp_path: Path) -> None:
    server.cut_after["/v12/links.txt.gz"] = [150_000]
    with pytest.raises(DownloadError, match="run it again to go on"):
        fetch(recipe(server), tmp_path, sources=["string_db"], retries=0, **FAST)
    kept = (tmp_path / "links.txt.gz.part").stat().st_size
    assert kept > 0
    assert not (tmp_path / "links.txt.gz").exists()
    report = fetch(recipe(server), tmp_path, sources=["string_db"], **FAST)
    content = server.files["/v12/links.txt.gz"]
    assert (report.files[0].status, report.files[0].received) == ("resumed", len(content) - kept)
    assert (tmp_path / "links.txt.gz").read_bytes() == content
    assert sorted(p.name for p in tmp_path.iterdir()) == [RECORD, "links.txt.gz"]


def test_a_known_checksum_is_verified(server: Any, tmp_path: Path) -> None:
    report = fetch(
        recipe(server, sha256=sha(server.files["/v12/links.txt.gz"]).upper()), tmp_path, sources=["string_db"], **FAST
    )
    assert report.files[0].sha256 == sha(server.files["/v12/links.txt.gz"])


def test_a_wrong_checksum_removes_the_file_and_says_so(server: Any, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="the download was removed") as caught:
        fetch(recipe(server, sha256="0" * 64), tmp_path, sources=["string_db"], **FAST)
    assert sha(server.files["/v12/links.txt.gz"]) in str(caught.value)
    assert "0" * 64 in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_checksum_leaves_the_old_file_in_place(server: Any, tmp_path: Path) -> None:
    (tmp_path / "links.txt.gz").write_bytes(b"old")
    with pytest.raises(DownloadError):
        fetch(recipe(server, sha256="0" * 64), tmp_path, sources=["string_db"], **FAST)
    assert (tmp_path / "links.txt.gz").read_bytes() == b"old"


def test_not_found_names_the_url_and_does_not_retry(server: Any, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="HTTP 404") as caught:
        fetch(recipe(server, url=f"{server.url}/v99/links.txt.gz"), tmp_path, **FAST)
    assert f"{server.url}/v99/links.txt.gz" in str(caught.value)
    assert len(server.requests) == 1


def test_files_before_a_failure_stay_recorded(server: Any, tmp_path: Path) -> None:
    del server.files["/go/go-basic.obo"]
    with pytest.raises(DownloadError):
        fetch(recipe(server), tmp_path, **FAST)
    assert set(read_record(tmp_path)) == {"links.txt.gz"}


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_gmt", ".gmt"), content)
    return buffer.getvalue()


def reactome(server: Any, **more: Any) -> dict[str, Any]:
    entry = {"url": f"{server.url}/ReactomePathways.gmt.zip", "member": "ReactomePathways.gmt", **more}
    return {"sources": {"reactome": {"type": "reactome", "urls": [entry]}}}


def test_one_file_is_taken_out_of_a_zip(server: Any, tmp_path: Path) -> None:
    server.files["/ReactomePathways.gmt.zip"] = archive = zipped(ReactomePathways_gmt=b"A\tR-HSA-1\tTP53\n")
    for status in ("downloaded", "present"):
        report = fetch(reactome(server, sha256=sha(archive)), tmp_path, **FAST)
        assert report.files[0].status == status
    assert (tmp_path / "ReactomePathways.gmt").read_bytes() == b"A\tR-HSA-1\tTP53\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ReactomePathways.gmt", RECORD]
    assert read_record(tmp_path)["ReactomePathways.gmt"]["archive_sha256"] == sha(archive)


def test_a_zip_without_the_file_names_what_it_has(server: Any, tmp_path: Path) -> None:
    server.files["/ReactomePathways.gmt.zip"] = zipped(ReactomePathway_gmt=b"x")
    with pytest.raises(DownloadError, match=r"did you mean 'ReactomePathway\.gmt'"):
        fetch(reactome(server), tmp_path, **FAST)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_zip_is_refused(server: Any, tmp_path: Path) -> None:
    server.files["/ReactomePathways.gmt.zip"] = zipped(ReactomePathways_gmt=b"x" * 10_000)[:-30]
    with pytest.raises(DownloadError, match="damaged"):
        fetch(reactome(server), tmp_path, **FAST)
    assert list(tmp_path.iterdir()) == []


def test_a_zip_cannot_write_outside_the_folder(server: Any, tmp_path: Path) -> None:
    server.files["/ReactomePathways.gmt.zip"] = zipped(**{"..__..__evil_gmt": b"x"})
    folder = tmp_path / "a" / "b"
    fetch(reactome(server, member="../../evil.gmt"), folder, **FAST)
    assert (folder / "evil.gmt").exists()
    assert not (tmp_path / "evil.gmt").exists()


@pytest.mark.parametrize("pattern", ["{url}/mirror", "{url}/mirror/", "{url}/mirror/{{path}}"])
def test_a_mirror_keeps_paths(server: Any, tmp_path: Path, pattern: str) -> None:
    server.files = {"/mirror/download/x.txt": b"mirrored"}
    official = "https://official.invalid/download/x.txt"
    values = {"sources": {"a": {"type": "table", "urls": [{"url": official, "sha256": sha(b"mirrored")}]}}}
    report = fetch(values, tmp_path, mirror=pattern.format(url=server.url), **FAST)
    assert (tmp_path / "x.txt").read_bytes() == b"mirrored"
    assert report.files[0].url == official


def test_a_bad_mirror_is_refused_before_anything_is_written(server: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        fetch(recipe(server), tmp_path / "new", mirror="nowhere", **FAST)
    assert not (tmp_path / "new").exists()


def test_one_file_of_two_sources_is_fetched_once(server: Any, tmp_path: Path) -> None:
    url = f"{server.url}/go/go-basic.obo"
    values = {"sources": {key: {"type": "go", "urls": [url]} for key in ("bp", "mf")}}
    report = fetch(values, tmp_path, **FAST)
    assert len(report.files) == len(server.requests) == 1
    assert report.without_urls == ()


def test_unknown_source_shows_the_nearest(server: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'string_db'"):
        fetch(recipe(server), tmp_path, sources=["string"], **FAST)


def test_nothing_to_fetch_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to fetch"):
        fetch({"sources": {"a": {"type": "table"}}}, tmp_path, **FAST)


def test_a_recipe_file_with_a_gene_table(server: Any, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        f'[genes]\nurls = ["{server.url}/go/go-basic.obo"]\n'
        f'[sources.s]\ntype = "string"\nurls = ["{server.url}/v12/links.txt.gz"]\n'
    )
    report = fetch(path, tmp_path / "out", **FAST)
    assert {f.source for f in report.files} == {"genes", "s"}
    with pytest.raises(FileFormatError):
        fetch(tmp_path / "none.toml", tmp_path / "out", **FAST)


def test_a_damaged_record_is_its_own_error(server: Any, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text("[1, 2")
    with pytest.raises(DownloadError, match="damaged"):
        fetch(recipe(server), tmp_path, **FAST)


def test_progress_goes_to_stderr(server: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch(recipe(server), tmp_path, sources=["go"], **{**FAST, "progress": True})
    captured = capsys.readouterr()
    assert "go-basic.obo" in captured.err
    assert captured.out == ""
