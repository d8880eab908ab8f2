from typing import Any

import pytest

from gnnvcell.errors import ConfigError
from gnnvcell.graphs.urls import Download, mirrored, wanted_downloads


def test_mirror_patterns() -> None:
    url = "https://stringdb-downloads.org/download/protein.links.v12.0/9606.txt.gz?x=1"
    assert mirrored(url, None) == url
    assert mirrored(url, "http://m/y") == "http://m/y/download/protein.links.v12.0/9606.txt.gz?x=1"
    assert mirrored(url, "http://m/{host}/{name}") == "http://m/stringdb-downloads.org/9606.txt.gz?x=1"
    for bad in ("ftp://m", "not a url", "http://m/{folder}/{name}"):
        with pytest.raises(ConfigError, match="cannot use the mirror"):
            mirrored(url, bad)


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        ("https://a/b.txt", "not a list"),
        ([3], "bad entry"),
        ([{"url": "ftp://a/b.txt"}], "http or https"),
        ([{"url": "https://a/"}], "file name"),
        ([{"url": "https://a/x/.."}], "file name"),
        ([{"url": "https://a/b", "sha": "12"}], "no setting 'sha'"),
        ([{"url": "https://a/b", "sha256": "12"}], "sha256"),
        ([{"url": "https://a/b", "name": "../b"}], "name"),
        (["https://a/b.txt", "https://c/b.txt"], "two files would be named"),
    ],
)
def test_bad_urls_are_refused(urls: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        wanted_downloads({"sources": {"a": {"type": "table", "urls": urls}}}, None)


def test_an_encoded_slash_stays_in_the_folder() -> None:
    assert Download(url="https://a/x/..%2F..%2Fevil.txt").file_name == "evil.txt"


def test_names() -> None:
    assert Download(url="https://a/x/b.txt.gz?v=1").file_name == "b.txt.gz"
    assert Download(url="https://a/x/b.txt.gz", name="c.gz").file_name == "c.gz"
    zipped = Download(url="https://a/x/b.zip", member="deep/d.gmt")
    assert (zipped.archive_name, zipped.file_name) == ("b.zip", "d.gmt")
    assert Download(url="https://a/x/b.zip", member="d.gmt", name="e.gmt").file_name == "e.gmt"


def test_one_file_described_in_two_ways_is_refused() -> None:
    url = "https://a/b.txt"
    values = {"sources": {"a": {"urls": [url]}, "b": {"urls": [{"url": url, "sha256": "0" * 64}]}}}
    with pytest.raises(ConfigError, match="described in two ways"):
        wanted_downloads(values, None)
    assert [key for key, _ in wanted_downloads(values, ["b"])[0]] == ["b"]
