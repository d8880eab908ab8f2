import argparse
from pathlib import Path

import pytest

from gnnvcell.cli.data_split import add_verb
from gnnvcell.errors import ConfigError, DataError

pytestmark = pytest.mark.shared


def run(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    add_verb(parser.add_subparsers())
    parsed = parser.parse_args(["split", *map(str, arguments)])
    return parsed.run(parsed)


@pytest.fixture
def papalexi(shared_data) -> Path:
    return shared_data / "cells" / "papalexi2021_thp1_eccite.h5ad"


@pytest.fixture
def norman(shared_data) -> Path:
    return shared_data / "cells" / "perturbench_devel.h5ad"


def test_seeds_are_written_and_checked(papalexi, tmp_path, capsys) -> None:
    strata = ("--stratify", "effect", "--bins", "3")
    assert run(papalexi, "--strategy", "perturbation", *strata, "--seeds", "2", "--out", tmp_path / "s.toml") == 0
    endings = ("csv", "png", "toml")
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"s_seed{i}.{end}" for i in (0, 1) for end in endings]
    assert "effect size" in capsys.readouterr().out
    assert run("--check", tmp_path / "s_seed0.toml") == run("--check", tmp_path / "s_seed1.csv") == 0


def test_singles_to_doubles_of_norman(norman, tmp_path, capsys) -> None:
    fractions = ("--gene-fractions", "1", "0", "0", "--fractions", "0", "0", "1")
    assert run(norman, "--strategy", "doubles", *fractions, "--out", tmp_path / "d.toml") == 0
    assert "test: 2 of 2 seen: 5" in capsys.readouterr().out  # as FIELD.md, section 9 counts them


def test_pathways_join_all_of_papalexi(papalexi, shared_data, tmp_path) -> None:
    sets = ("--gmt", shared_data / "graphs" / "ReactomePathways.gmt")
    given = (papalexi, "--strategy", "complexes", *sets, "--out", tmp_path / "c.toml")
    with pytest.raises(DataError, match="a component of 23 of 25 perturbations, held together by Immune-System"):
        run(*given)
    assert run(*given, "--max-set-size", "20") == 0
    assert run("--check", tmp_path / "c.toml", *sets) == 0


def test_few_shot_is_listed_as_the_file_writes_it(norman, tmp_path) -> None:
    given = ("--test-cell-types", "A172", "--reveal", "0.3", "--val", "1")
    run(norman, "--strategy", "few-shot", *given, "--out", tmp_path / "f.toml")
    assert 'val = ["MAPK1"]' in (tmp_path / "f.toml").read_text()
    assert run("--check", tmp_path / "f.toml") == 0
    with pytest.raises(DataError, match="the split leaks: 6 found"):
        run("--check", tmp_path / "f.toml", "--strategy", "perturbation")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategy", "pertubation", "--out", "x.toml"], "did you mean 'perturbation'"),
        (["--strategy", "perturbation", "--out", "x.csv"], r"does not end in \.toml"),
        (["--strategy", "perturbation"], "needs files, --strategy and --out"),
        (["--strategy", "doubles", "--out", "x.toml", "--num-test", "3"], "--num-test means nothing"),
    ],
)
def test_bad_requests(papalexi, arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        run(papalexi, *arguments)
