import gzip

import numpy as np
import pytest

from gnnvcell.errors import FileFormatError
from gnnvcell.testing.string_files import DETAILED, HEADER, A, B, C, links, pairs, read, scores, write


def test_missing_file_says_what_and_where(tmp_path):
    with pytest.raises(FileFormatError, match=r"9606\.protein\.links\.txt\.gz"):
        read(tmp_path)
    with pytest.raises(FileFormatError, match="not given"):
        read(None)
    with pytest.raises(FileFormatError, match="no file"):
        read(tmp_path, links_file="nowhere.txt")


def test_two_releases_side_by_side(tmp_path):
    links(tmp_path, [f"{A} {B} 900"])
    links(tmp_path, [f"{A} {B} 900"], name="9606.protein.links.v11.5.txt.gz")
    with pytest.raises(FileFormatError, match="several files"):
        read(tmp_path)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.99])
def test_truncated_gzip(tmp_path, keep):
    rng = np.random.default_rng(1)
    rows = [f"9606.P{a} 9606.P{b} 900" for a, b in rng.integers(0, 10**6, (4000, 2))]
    path = links(tmp_path, rows)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(FileFormatError, match="damaged gzip"):
        read(tmp_path)


def test_corrupt_gzip(tmp_path):
    path = links(tmp_path, [f"9606.P{i} 9606.P{i * i + 1} {150 + i % 800}" for i in range(3000)])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(FileFormatError):
        read(tmp_path)


def test_several_gzip_members_are_one_file(tmp_path):
    path = tmp_path / "9606.protein.links.txt.gz"
    path.write_bytes(gzip.compress(f"{HEADER}\n{A} {B} 900\n".encode()) + gzip.compress(f"{B} {C} 800\n".encode()))
    assert scores(read(tmp_path)) == [900, 800]


def test_empty_file(tmp_path):
    (tmp_path / "9606.protein.links.txt").write_bytes(b"")
    with pytest.raises(FileFormatError, match="is empty"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("header", "remedy"),
    [
        ("protein1\tprotein2\tcombined_score", "separated by tabs"),
        ("protein1,protein2,combined_score", "separated by commas"),
        (f"{A} {B} 900", "header line is missing"),
        ("protein1 protein2", "download it again"),
        ("protein1 protein2 combined_score combined_score", "download it again"),
        ("#string_protein_id\tpreferred_name", "is it protein.info"),
    ],
)
def test_wrong_header(tmp_path, header, remedy):
    write(tmp_path, "9606.protein.links.txt", header, [f"{A} {B} 900"])
    with pytest.raises(FileFormatError, match="does not begin with the header") as caught:
        read(tmp_path)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f"{A}\t{B}\t900", "separated by tabs"),
        (f"{A} {B}", "has 2 fields"),
        (f"{A} {B} 900 1", "has 4 fields"),
        (f"{A}  {B} 900", "has 4 fields"),
        (f"{A} {B} 0.9", "score that cannot be read"),
        (f"{A} {B} -5", "score that cannot be read"),
        (f"{A} {B} nan", "score that cannot be read"),
        (f"{A} {B} ", "score that cannot be read"),
        (f"{A} {B} 12345", "score that cannot be read"),
        (f"9606. {B} 900", "9606."),
        ("protein1 protein2 combined_score", "not of species 9606"),
    ],
)
def test_bad_line_is_named(tmp_path, line, problem):
    rows = [f"9606.P{i} 9606.P{i + 1} 900" for i in range(50)]
    rows.insert(20, line)
    write(tmp_path, "9606.protein.links.txt", HEADER, rows)
    with pytest.raises(FileFormatError, match="line 22 of") as caught:
        read(tmp_path)
    assert problem in str(caught.value)


@pytest.mark.parametrize("score", ["155", "900"])
@pytest.mark.parametrize(("separator", "line"), [(" ", 32), ("\t", 32), ("\n", 32), ("\r", 32)])
@pytest.mark.parametrize("place", [9, 30])
def test_separators_hidden_in_ids_of_the_usual_length_are_found(tmp_path, separator, line, score, place):
    rows = [f"9606.ENSP{i:011d} 9606.ENSP{i + 1:011d} {score}" for i in range(60)]
    rows[30] = rows[30][:place] + separator + rows[30][place + 1 :]
    assert len(rows[30]) == len(rows[29])
    write(tmp_path, "9606.protein.links.txt", HEADER, rows)
    with pytest.raises(FileFormatError, match=f"line {line} of"):
        read(tmp_path, confidence=0.7)


def test_lines_of_changing_layout_are_all_read(tmp_path):
    rng = np.random.default_rng(3)
    low, high = 10 ** rng.integers(0, 4, 500), 10 ** rng.integers(4, 8, 500)
    score = rng.choice([1, 20, 300, 700, 999, 1000], 500).astype(int)
    # Runs of one layout between lines of others; some runs are short, some lines stand alone.
    order = np.argsort(rng.integers(0, 40, 500), kind="stable")
    rows = [f"9606.P{low[k] + k} 9606.P{high[k] + k} {score[k]}" for k in order]
    ends = ["\r\n" if end else "\n" for end in rng.random(500) < 0.05]
    path = tmp_path / "9606.protein.links.txt"
    path.write_bytes((HEADER + "\n" + "".join(map("".join, zip(rows, ends, strict=True)))).encode())
    reading = read(tmp_path, confidence=0.3)
    expected: dict[tuple[str, str], float] = {}
    for row in rows:
        first, second, value = row.replace("9606.", "").split(" ")
        if int(value) >= 300:
            pair = (min(first, second), max(first, second))
            expected[pair] = max(expected.get(pair, 0), int(value) / 1000)
    assert pairs(reading) == pytest.approx(expected)
    assert reading.lines_read == 500


def test_plain_file_cut_in_the_middle_of_a_line(tmp_path):
    path = write(tmp_path, "9606.protein.links.txt", HEADER, [f"{A} {B} 900", f"{B} {A} 900"])
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(FileFormatError, match="line 3 of"):
        read(tmp_path)


def test_summed_scores_count_as_one_and_are_counted(tmp_path):
    rows = [f"9606.P{i} 9606.Q{i} 900" for i in range(100)]
    links(tmp_path, [*rows, f"{A} {B} 1800"])
    reading = read(tmp_path)
    assert max(pairs(reading).values()) == 1
    assert "2 lines have a score above 1000, which counts as 1000" in reading.notes


def test_scores_of_another_scale(tmp_path):
    links(tmp_path, [f"{A} {B} 9000", f"{A} {C} 900"])
    with pytest.raises(FileFormatError, match="2 of 4 scores above 1000"):
        read(tmp_path)


def test_channel_above_1000(tmp_path):
    links(tmp_path, [f"{A} {B} 0 0 0 0 1001 0 0 900"], header=DETAILED, name="9606.protein.links.detailed.txt")
    with pytest.raises(FileFormatError, match="line 2 of"):
        read(tmp_path, channels=["experiments"])


def test_unknown_channel_column(tmp_path):
    header = DETAILED.replace("textmining", "textminning")
    links(tmp_path, [f"{A} {B} 0 0 0 0 0 0 900 900"], header=header, name="9606.protein.links.detailed.txt")
    with pytest.raises(FileFormatError, match="did you mean 'textmining'"):
        read(tmp_path, exclude_channels=["coexpression"])
    assert scores(read(tmp_path)) == [900]


def test_ids_that_are_not_text(tmp_path):
    path = links(tmp_path, [f"{A} 9606.X\xff 900"], name="9606.protein.links.txt")
    path.write_bytes(path.read_bytes().replace(b"\xc3\xbf", b"\xff"))
    with pytest.raises(FileFormatError, match="UTF-8"):
        read(tmp_path)
