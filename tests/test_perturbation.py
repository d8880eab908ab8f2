import dataclasses

import pytest

from gnnvcell.errors import PerturbationError
from gnnvcell.perturbation import Mode, Perturbation

parse = Perturbation.parse


@pytest.mark.parametrize(
    ("text", "targets", "mode", "amount", "unit"),
    [
        ("TP53", ("TP53",), None, None, ""),
        ("MAP2K6+KLF1", ("MAP2K6", "KLF1"), None, None, ""),
        (" TP53 + MYC ", ("TP53", "MYC"), None, None, ""),
        ("AHR+ctrl", ("AHR",), None, None, ""),
        ("ctrl+AHR", ("AHR",), None, None, ""),
        ("HLA_DRB1", ("HLA_DRB1",), None, None, ""),
        ("NKX2-5", ("NKX2-5",), None, None, ""),
        ("TP53|KO", ("TP53",), Mode.KO, None, "fraction"),
        ("TP53+MYC|CRISPRi@80%", ("TP53", "MYC"), Mode.CRISPRI, 0.8, "fraction"),
        ("TP53|crispri@0.25", ("TP53",), Mode.CRISPRI, 0.25, "fraction"),
        ("KLF1|CRISPRa@3x", ("KLF1",), Mode.CRISPRA, 3.0, "fold"),
        ("JQ1|drug", ("JQ1",), Mode.DRUG, None, "uM"),
        ("JQ1|drug@1uM", ("JQ1",), Mode.DRUG, 1.0, "uM"),
        ("JQ1|drug@250nM", ("JQ1",), Mode.DRUG, 0.25, "uM"),
        ("JQ1|drug@2mM", ("JQ1",), Mode.DRUG, 2000.0, "uM"),
        ("JQ1|drug@5 µM", ("JQ1",), Mode.DRUG, 5.0, "uM"),
        ("(+)-JQ1|drug@1uM", ("(+)-JQ1",), Mode.DRUG, 1.0, "uM"),
    ],
)
def test_labels_are_read(text, targets, mode, amount, unit) -> None:
    found = parse(text)
    assert (found.targets, found.mode, found.amount, found.unit) == (targets, mode, amount, unit)
    assert not found.is_control
    assert parse(str(found)) == found
    assert str(parse(str(found))) == str(found)


@pytest.mark.parametrize(
    "text", ["ctrl", "control", "non-targeting", "Non-Targeting", "NT", "ctrl+ctrl", "ctrl|control"]
)
def test_controls_are_one_perturbation(text) -> None:
    found = parse(text)
    assert found.is_control
    assert found.targets == ()
    assert str(found) == found.name == "control"
    assert found == parse("control")


def test_what_counts_as_control_is_the_users_choice() -> None:
    assert parse("NT", control_names=["DMSO"]).targets == ("NT",)
    assert parse("dmso", mode="drug", control_names=["DMSO"]).is_control


def test_order_of_targets_does_not_matter_for_equality_and_stays_in_the_text() -> None:
    one, other = parse("A+B"), parse("B+A")
    assert one == other
    assert hash(one) == hash(other)
    assert (str(one), str(other)) == ("A+B", "B+A")
    assert parse("A+B") != parse("A")
    assert parse("A+B") != parse("A+B|KO")
    assert parse("A|drug@1uM") != parse("A|drug@2uM")


@pytest.mark.parametrize(
    ("one", "other"),
    [("1000nM", "1uM"), ("0.3nM", "0.0003uM"), ("1000uM", "1mM"), ("0.7nM", "700pM"), ("1M", "1000mM")],
)
def test_the_same_dose_in_other_units_is_equal(one, other) -> None:
    assert parse(f"X|drug@{one}") == parse(f"X|drug@{other}")
    assert str(parse(f"X|drug@{one}")) == str(parse(f"X|drug@{other}"))


@pytest.mark.parametrize("dose", ["1uM", "1.5uM", "300pM", "250nM", "12.345mM", "2M", "0.0001pM", "999nM"])
def test_doses_are_written_as_people_write_them(dose) -> None:
    assert str(parse(f"X|drug@{dose}")) == f"X|drug@{dose}"


def test_the_mode_of_a_data_set_applies_to_its_labels() -> None:
    assert parse("A+B", mode="CRISPRa").mode is Mode.CRISPRA
    assert parse("JQ1@1uM", mode="drug") == parse("JQ1|drug@1uM")
    assert parse("A|KO", mode=Mode.KO) == parse("A|KO")
    assert parse("ctrl", mode="KO").is_control
    with pytest.raises(PerturbationError, match="says mode KO"):
        parse("A|KO", mode="CRISPRi")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not the label"),
        ("   ", "not the label"),
        (None, "not the label"),
        (float("nan"), "not the label"),
        ("A+", "empty target"),
        ("+", "empty target"),
        ("A+A", "'A' is there twice"),
        ("A|drugg", "did you mean 'drug'"),
        ("A|CRISPR", "did you mean 'CRISPRi' or 'CRISPRa'|did you mean 'CRISPRa' or 'CRISPRi'"),
        ("A|drug@", "without a known unit"),
        ("A|drug@1", "without a known unit"),
        ("A|drug@1mg", "without a known unit"),
        ("A|drug@uM", "bad amount"),
        ("A|drug@-1uM", "bad amount"),
        ("A|drug@0nM", "bad amount"),
        ("A|drug@nanuM", "bad amount"),
        ("A|drug@infuM", "bad amount"),
        ("A|drug@1e999uM", "bad amount"),
        ("A|CRISPRi@150%", "out of range"),
        ("A|CRISPRa@2", "without a known unit"),
        ("A@1uM", "no mode"),
        ("ctrl|KO", "control with something else"),
        ("ctrl|drug@1uM", "control with something else"),
        ("TP53|control", "control with something else"),
    ],
)
def test_bad_labels_say_what_is_wrong(text, message) -> None:
    with pytest.raises(PerturbationError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((),), "no target"),
        (("TP53",), "one text"),
        ((("A", ""),), "empty target"),
        ((("A", "A"),), "twice"),
        ((("A",), Mode.CONTROL), "no targets"),
        ((("A", "B"), Mode.DRUG), "one compound"),
        ((("A+B",),), "separate the parts"),
        ((("A",), None, 1.0), "no meaning"),
        ((("A",), Mode.DRUG, float("nan")), "out of range"),
        ((("A",), Mode.DRUG, 0.0), "out of range"),
    ],
)
def test_the_class_refuses_nonsense(arguments, message) -> None:
    with pytest.raises(PerturbationError, match=message):
        Perturbation(*arguments)


def test_it_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse("A").mode = Mode.KO  # type: ignore[misc]
