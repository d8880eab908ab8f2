import pytest

from gnnvcell.bench.arms import COALITIONS, EACH, LEAVE_ONE_OUT, Selected, Whole, arms_of
from gnnvcell.errors import ConfigError
from gnnvcell.graphs.controls import CONTROLS


@pytest.mark.parametrize("control", ["rewired", "permuted", "empty"])
def test_the_part_of_a_control_is_the_control_of_the_part(control, world) -> None:
    graph = world.graph()
    (arm,) = (
        a
        for a in arms_of(Whole("g", graph), [Selected(EACH, (control,))], 1)
        if a.control == control and a.name == "g/a"
    )
    assert arm.graph.digest == CONTROLS.get(control)(graph.select("a"), seed=0).digest


def test_sources_of_a_size_matched_control_have_one_size(world) -> None:
    arms = arms_of(Whole("g", world.graph()), [Selected(EACH, ("size_matched",))], 1)
    sizes = {arm.name: arm.graph.num_edges(arm.graph.relations[0]) for arm in arms if arm.control == "size_matched"}
    real = {arm.name: arm.graph.num_edges(arm.graph.relations[0]) for arm in arms if arm.control == "real"}
    assert sizes["g/a"] == sizes["g/b"] == min(real.values()) < max(real.values())


def test_a_hub_has_no_parts(world) -> None:
    arms = arms_of(Whole("g", world.graph()), [Selected(EACH, ("dense",))], 2)
    assert {tuple(arm.graph.relations) for arm in arms if arm.control == "dense"} == {("all_genes",)}


def test_controls_are_drawn_once_for_all_parts(monkeypatch, world) -> None:
    drawn = []
    monkeypatch.setitem(CONTROLS._items, "counted", lambda graph, *, seed: drawn.append(seed) or graph)
    for arm in arms_of(Whole("g", world.graph("abc")), [Selected(COALITIONS, ("counted",))], 3):
        assert arm.graph.relations
    assert drawn == [0, 1, 2]


def test_a_part_of_two_selections_has_the_controls_and_models_of_both(world) -> None:
    selections = [Selected(EACH, ("rewired",), ("knn",)), Selected(LEAVE_ONE_OUT, ("empty",), ("ridge",))]
    arms = arms_of(Whole("g", world.graph()), selections, 1)
    found = {(arm.name, arm.control): arm.models for arm in arms}
    assert found == {
        ("g/a", "real"): ("knn", "ridge"),
        ("g/b", "real"): ("knn", "ridge"),
        ("g/a", "rewired"): ("knn",),
        ("g/b", "rewired"): ("knn",),
        ("g/a", "empty"): ("ridge",),
        ("g/b", "empty"): ("ridge",),
    }


def test_what_a_run_depends_on(world) -> None:
    arms = arms_of(Whole("g", world.graph()), [Selected(controls=("rewired", "empty"))], 2)
    by = {(arm.control, arm.seed): arm for arm in arms}
    for control in ("real", "empty"):
        assert by[control, 0].identity(seeded=False) == by[control, 1].identity(seeded=False)
        assert by[control, 0].identity(seeded=True) != by[control, 1].identity(seeded=True)
    assert by["rewired", 0].identity(seeded=False) != by["rewired", 1].identity(seeded=False)


def test_unknown_parts_are_refused(world) -> None:
    with pytest.raises(ConfigError, match=r"unknown parts 'eech' of a graph\n  what to do: did you mean 'each'"):
        Whole("g", world.graph()).parts("eech")
