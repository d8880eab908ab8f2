import gzip
import hashlib
import os
from pathlib import Path

import pytest

from gnnvcell.errors import FileFormatError, MissingFileError
from gnnvcell.files import (
    atomic_folder,
    atomic_path,
    is_gzip,
    open_bytes,
    open_text,
    read_names,
    require_file,
    sha256_of,
    write_text,
)


def test_a_file_with_content_is_returned(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x")
    assert require_file(str(path)) == path


def test_a_missing_file_names_the_nearest(tmp_path) -> None:
    with pytest.raises(MissingFileError, match=r"the folder .* is empty"):
        require_file(tmp_path / "a.txt")
    with pytest.raises(MissingFileError, match=r"the folder .*nowhere does not exist"):
        require_file(tmp_path / "nowhere" / "a.txt")
    (tmp_path / "9606.protein.links.txt.gz").write_text("x")
    with pytest.raises(MissingFileError, match=r"did you mean '9606\.protein\.links\.txt\.gz'"):
        require_file(tmp_path / "9606.protein.link.txt.gz")


def test_folders_and_empty_files_are_refused(tmp_path) -> None:
    with pytest.raises(FileFormatError, match="is a folder"):
        require_file(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(FileFormatError, match="is empty"):
        require_file(tmp_path / "empty")


@pytest.mark.parametrize("name", ["plain.txt", "packed.txt.gz", "packed-without-suffix", "plain.gz"])
def test_gzip_is_told_by_content_and_not_by_name(tmp_path, name) -> None:
    path = tmp_path / name
    content = "gène\tα\r\n".encode()
    path.write_bytes(gzip.compress(content) if "packed" in name else content)
    assert is_gzip(path) == ("packed" in name)
    with open_bytes(path) as handle:
        assert handle.read() == content
    with open_text(path) as handle:
        assert handle.read() == "gène\tα\r\n"


def test_gzip_of_several_members_is_read_whole(tmp_path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    with open_text(tmp_path / "a.gz") as handle:
        assert list(handle) == ["one\n", "two\n"]


@pytest.mark.parametrize("kept", [2, 8, 15, 0.5, -8, -1])
@pytest.mark.parametrize("opener", [open_bytes, open_text])
def test_truncated_gzip_is_a_clear_error(tmp_path, kept, opener) -> None:
    packed = gzip.compress("".join(f"{i} {i * i}\n" for i in range(20_000)).encode())
    path = tmp_path / "cut.txt.gz"
    path.write_bytes(packed[: int(kept * len(packed)) if isinstance(kept, float) else kept])
    with pytest.raises(FileFormatError, match="damaged gzip") as caught, opener(path) as handle:
        handle.read()
    assert "download it again" in caught.value.remedy


def test_corrupt_gzip_is_a_clear_error(tmp_path) -> None:
    packed = bytearray(gzip.compress(os.urandom(10_000)))
    packed[5_000] ^= 0xFF
    (tmp_path / "bad.gz").write_bytes(packed)
    with pytest.raises(FileFormatError, match="damaged gzip"), open_bytes(tmp_path / "bad.gz") as handle:
        handle.read()


def test_bytes_that_are_no_text_are_a_clear_error(tmp_path) -> None:
    (tmp_path / "a.bin").write_bytes(b"gene\n\xff\xfe\n")
    with pytest.raises(FileFormatError, match="not UTF-8"), open_text(tmp_path / "a.bin") as handle:
        handle.read()


def test_errors_of_the_reader_pass_through(tmp_path) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(KeyError, match="mine"), open_text(tmp_path / "a"):
        raise KeyError("mine")


def test_names_are_read_one_per_line(tmp_path) -> None:
    path = tmp_path / "genes.txt"
    path.write_text("# genes\nTP53\r\n\n  MYC  \n")
    assert read_names(path) == ["TP53", "MYC"]
    path.write_text("# none\n\n")
    with pytest.raises(FileFormatError, match="no names"):
        read_names(path)
    path.write_text("TP53\nMYC\tCD4\n")
    with pytest.raises(FileFormatError, match="several columns") as caught:
        read_names(path)
    assert caught.value.found == "MYC\tCD4"


def test_sha256_is_of_the_bytes_on_disk(tmp_path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(content)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def stop_half_way(path: Path) -> None:
    path.write_text("half")
    raise RuntimeError("half-way")


def test_atomic_path_replaces_the_file_at_the_end(tmp_path) -> None:
    path = tmp_path / "deep" / "er" / "a.txt"
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert names_in(path.parent) == ["a.txt"]
    write_text(path, "newer")
    assert path.read_text() == "newer"


def test_atomic_path_leaves_the_old_file_on_error(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half-way"), atomic_path(path) as temporary:
        stop_half_way(temporary)
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "b.txt"):
        raise KeyboardInterrupt
    assert names_in(tmp_path) == ["a.txt"]


def test_new_files_and_folders_have_ordinary_permissions(tmp_path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
        with atomic_folder(tmp_path / "folder"):
            pass
    finally:
        assert os.umask(before) == 0o027
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750


def test_atomic_folder_replaces_the_old_one_whole(tmp_path) -> None:
    path = tmp_path / "graph"
    for version in ("one", "two"):
        with atomic_folder(path) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / version).write_text(version)
    assert names_in(path / "sub") == ["two"]
    assert names_in(tmp_path) == ["graph"]


def test_atomic_folder_leaves_the_old_one_on_error(tmp_path) -> None:
    path = tmp_path / "graph"
    with atomic_folder(path) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(RuntimeError, match="half-way"), atomic_folder(path) as folder:
        stop_half_way(folder / "a")
    assert (path / "a").read_text() == "old"
    assert names_in(tmp_path) == ["graph"]


def test_atomic_folder_puts_the_old_one_back_when_the_swap_fails(tmp_path, monkeypatch) -> None:
    path = tmp_path / "graph"
    with atomic_folder(path) as folder:
        (folder / "a").write_text("old")
    replace, calls = os.replace, []

    def failing(source, target) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError("disk full")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="disk full"), atomic_folder(path) as folder:
        (folder / "a").write_text("new")
    assert (path / "a").read_text() == "old"
    assert names_in(tmp_path) == ["graph"]


def test_atomic_folder_takes_the_place_of_a_file_or_a_link(tmp_path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "kept").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "file").write_text("x")
    for name in ("link", "file"):
        with atomic_folder(tmp_path / name) as folder:
            (folder / "a").write_text("new")
        assert names_in(tmp_path / name) == ["a"]
    assert names_in(tmp_path / "target") == ["kept"]
    assert names_in(tmp_path) == ["file", "link", "target"]
