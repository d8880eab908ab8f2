from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gnnvcell.bench.targets import Target, judge, read_targets, sentence
from gnnvcell.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "benchmarks" / "sources" / "perturbqa_targets.toml"


def row(kind: str, model: str, against: str, value: float, low: float, high: float, **others: Any) -> dict[str, Any]:
    place = {"kind": kind, "line": "mean of lines", "task": "de", "model": model, "graph": "g", "against": against}
    return {**place, "value": value, "low": low, "high": high, **others}


STATISTICS = pd.DataFrame(
    [
        row("score", "p", "", 0.715, 0.70, 0.73),
        row("score", "p", "permuted", 0.52, 0.51, 0.53),
        row("score", "knn", "", 0.6, 0.58, 0.62),
        row("model", "knn", "p", -0.115, -0.13, -0.10),
        row("model", "p", "ridge", 0.04, -0.01, 0.09),
        row("score", "p", "", 0.9, 0.88, 0.92, graph="g/a"),
    ]
)


def state(**target: Any) -> tuple[str, str]:
    (found,) = judge([Target(task="de", **target)], STATISTICS)
    return found.state, found.found


def test_what_is_met_missed_and_not_measured() -> None:
    assert state(model="p", at_least=0.7) == ("met", "0.715 (0.700 to 0.730)")
    assert state(model="p", at_least=0.72) == ("missed", "0.715 (0.700 to 0.730)")  # parts of the graph do not count
    assert state(model="p", graph="g/a", at_least=0.72)[0] == "met"
    assert state(model="p", over="knn", at_least=0.03) == ("met", "0.115 (0.100 to 0.130)")  # turned round
    assert state(model="knn", over="p", at_least=0.03) == ("missed", "−0.115 (−0.130 to −0.100)")
    assert state(model="p", over="ridge", at_least=0.03)[0] == "missed"  # the interval does not exclude 0
    assert state(model="p", control="permuted", within=0.03)[0] == "met"
    assert state(model="p", control="permuted", within=0.01)[0] == "missed"
    assert state(model="p", line="k562", at_least=0.7) == ("not measured", "")
    assert state(model="typo", at_least=0.7) == ("not measured", "")


def test_on_several_graphs_all_must_meet_it() -> None:
    second = pd.DataFrame([row("score", "p", "", 0.6, 0.58, 0.62, graph="h")])
    (found,) = judge([Target(model="p", task="de", at_least=0.7)], pd.concat([STATISTICS, second]))
    assert (found.state, found.found) == ("missed", "0.600 (0.580 to 0.620)")


def test_the_first_paragraph_names_what_was_missed() -> None:
    asked = [
        Target(model="p", task="de", at_least=0.72),
        Target(model="p", task="de", over="knn", at_least=0.03),
        Target(model="p", task="dir", control="permuted", within=0.03),
    ]
    assert sentence(judge(asked, STATISTICS)) == (
        "Missed, 1 of 3 targets: p, de, mean of lines: at least 0.72, found 0.715 (0.700 to 0.730). "
        "Not measured: p on permuted graphs, dir, mean of lines: within 0.03 of 0.5. Met: 1 of 3 targets."
    )
    assert (
        str(judge(asked, STATISTICS)[1].target)
        == "p over knn, de, mean of lines: at least 0.03 with an interval above 0"
    )
    assert sentence([]) == ""


def test_files(tmp_path: Path) -> None:
    found = read_targets(SHIPPED)
    assert len(found) == 10
    assert found[0] == Target(model="propagation", task="de", at_least=0.72)
    assert {one.over for one in found} == {"", "smoother", "knn", "ridge"}
    assert read_targets(SHIPPED, cells="papalexi") == read_targets(None) == []
    on_cells = SHIPPED.with_name("cells_targets.toml")
    assert [len(read_targets(on_cells, cells=task)) for task in ("papalexi", "norman", "other")] == [4, 2, 0]
    assert read_targets(on_cells) == []
    path = tmp_path / "t.toml"
    path.write_text('[[target]]\nmodel = "p"\ntask = "de"\nat_leats = 0.5\n')
    with pytest.raises(ConfigError, match=r"has no setting 'target.0.at_leats'"):
        read_targets(path)
    path.write_text('[[target]]\nmodel = "p"\ntask = "de"\n')
    with pytest.raises(ConfigError, match="one of at_least, at_most and within"):
        read_targets(path)
    path.write_text('[[target]]\nmodel = "p"\ntask = "de"\nwithin = 0.1\nover = "knn"\n')
    with pytest.raises(ConfigError, match="a difference is at_least or at_most something"):
        read_targets(path)
    path.write_text('[[target]]\nmodel = "p"\nat_least = 0.1\n')
    with pytest.raises(ConfigError, match="task \\(of labels\\) or metric \\(of cells\\)"):
        read_targets(path)
    path.write_text('[[target]]\nmodel = "p"\ntask = "de"\nat_least = 0.1\nover = "knn"\ncontrol = "rewired"\n')
    with pytest.raises(ConfigError, match="at most one of over, over_control and control"):
        read_targets(path)
    path.write_text("x = 1\n")
    with pytest.raises(ConfigError):
        read_targets(path)


def test_targets_on_cells() -> None:
    def one(kind: str, against: str, value: float, low: float, high: float) -> dict[str, Any]:
        place = {"kind": kind, "stratum": "strong", "score": "mse_delta", "model": "p", "graph": "g"}
        return {**place, "against": against, "value": value, "low": low, "high": high}

    statistics = pd.DataFrame(
        [one("score", "", 0.0037, 0.003, 0.0045), one("control", "rewired", -0.002, -0.003, -0.001)]
    )

    def state(**target: Any) -> tuple[str, str]:
        (found,) = judge([Target(model="p", metric="mse_delta", **target)], statistics)
        return found.state, found.found

    assert state(stratum="strong", at_most=0.004) == ("met", "0.0037 (0.003 to 0.0045)")
    assert state(stratum="strong", at_most=0.003)[0] == "missed"
    assert state(at_most=0.004)[0] == "not measured"  # of all perturbations
    assert state(stratum="strong", over_control="rewired", at_most=0.0) == ("met", "−0.002 (−0.003 to −0.001)")
    target = Target(model="p", metric="mse_delta", stratum="strong", over_control="rewired", at_most=0.0)
    assert str(target) == "p over rewired graphs, mse_delta, strong: at most 0 with an interval below 0"
