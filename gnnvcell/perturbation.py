"""What was done to a cell: which genes or compound, how, and how much."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from gnnvcell import keys
from gnnvcell.errors import PerturbationError, did_you_mean

CONTROL_NAMES = (keys.CONTROL, "ctrl", keys.NON_TARGETING, "non_targeting", "nontargeting", "NT", "unperturbed")


class Mode(StrEnum):
    """How a perturbation works."""

    CRISPRI = "CRISPRi"
    CRISPRA = "CRISPRa"
    KO = "KO"
    DRUG = "drug"
    CONTROL = "control"


# Unit as written to (unit as kept, power of ten between them).
_CONCENTRATIONS = {"pM": -6, "nM": -3, "uM": 0, "µM": 0, "μM": 0, "mM": 3, "M": 6}
_UNITS: dict[Mode, dict[str, tuple[str, int]]] = {
    Mode.DRUG: {unit: ("uM", power) for unit, power in _CONCENTRATIONS.items()},
    Mode.CRISPRI: {"%": ("fraction", -2), "": ("fraction", 0)},
    Mode.KO: {"%": ("fraction", -2), "": ("fraction", 0)},
    Mode.CRISPRA: {"x": ("fold", 0)},
    Mode.CONTROL: {},
}
_PRINTED = (("M", 6), ("mM", 3), ("uM", 0), ("nM", -3), ("pM", -6))


@dataclass(frozen=True)
class Perturbation:
    """One perturbation: one or more genes, one compound, or nothing (a control).

    Two perturbations are equal when they have the same targets in any order, the same mode and the same amount.

    Args:
        targets: gene names in the order given, or one compound, kept as a tuple; empty for a control.
        mode: how it works; None where the data does not say.
        amount: the dose of a drug in uM (> 0); for CRISPRi and KO the strength as a fraction in (0, 1]; for CRISPRa the
            fold of over-expression (> 0). None where the data does not say.

    Raises:
        PerturbationError: no target, a target twice or empty, several compounds, a control with targets, an amount
            without a mode or outside its range.

    Example:
        >>> str(Perturbation.parse("BRD4+MYC")), Perturbation.parse("BRD4+MYC") == Perturbation.parse("MYC+BRD4")
        ('BRD4+MYC', True)
        >>> Perturbation.parse("JQ1|drug@500nM").amount
        0.5
    """

    targets: Sequence[str] = field(compare=False)
    mode: Mode | None = None
    amount: float | None = None
    _target_set: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.targets, str):
            raise PerturbationError(
                f"targets is one text, {self.targets!r}", remedy="use Perturbation.parse, or give a tuple of names"
            )
        targets = tuple(str(target).strip() for target in self.targets)
        object.__setattr__(self, "targets", targets)
        object.__setattr__(self, "mode", None if self.mode is None else _mode(self.mode))
        object.__setattr__(self, "_target_set", frozenset(targets))
        self._check_targets()
        self._check_amount()

    def _check_targets(self) -> None:
        if self.mode is Mode.CONTROL:
            if self.targets:
                raise PerturbationError("a control has no targets", found=", ".join(self.targets))
            return
        if not self.targets or not all(self.targets):
            raise PerturbationError(
                "a perturbation has an empty target" if self.targets else "a perturbation has no target",
                expected="gene names such as 'TP53' or 'TP53+MYC', a compound, or mode control",
                found=repr("+".join(self.targets)),
            )
        if len(self._target_set) < len(self.targets):
            twice = next(target for target in self.targets if self.targets.count(target) > 1)
            raise PerturbationError(f"the target {twice!r} is there twice", found="+".join(self.targets))
        if self.mode is Mode.DRUG:
            if len(self.targets) > 1:
                raise PerturbationError("a drug perturbation has one compound", found=", ".join(self.targets))
            return
        bad = next((target for target in self.targets if any(mark in target for mark in "+|@")), None)
        if bad is not None:
            raise PerturbationError(
                f"the gene name {bad!r} holds one of + | @, which separate the parts of a label",
                remedy="give the genes one by one, or use mode drug for a compound",
            )

    def _check_amount(self) -> None:
        if self.amount is None:
            return
        if self.mode is None or self.mode is Mode.CONTROL:
            raise PerturbationError(
                f"the amount {self.amount!r} of {self} has no meaning with mode {self.mode}",
                expected="a mode among drug, CRISPRi, CRISPRa, KO",
            )
        amount = float(self.amount)
        object.__setattr__(self, "amount", amount)
        limit = 1.0 if self.unit == "fraction" else math.inf
        if not (math.isfinite(amount) and 0 < amount <= limit):
            raise PerturbationError(
                f"the amount of {self.name} is out of range",
                expected=f"a finite number > 0{' and <= 1' if limit == 1 else ''}, in {self.unit}",
                found=str(amount),
                remedy="use mode control for no perturbation",
            )

    @property
    def unit(self) -> str:
        """Unit of the amount: "uM" for drugs, "fraction" for CRISPRi and KO, "fold" for CRISPRa, else empty."""
        units = _UNITS[self.mode] if self.mode is not None else {}
        return next((kept for kept, _ in units.values()), "")

    @property
    def name(self) -> str:
        """The targets alone, as effect tables name perturbations: "A+B", or "control"."""
        return "+".join(self.targets) if self.targets else keys.CONTROL

    @property
    def is_control(self) -> bool:
        """Whether nothing was perturbed."""
        return self.mode is Mode.CONTROL

    def __str__(self) -> str:
        """The text that ``parse`` reads back: ``targets``, ``targets|mode`` or ``targets|mode@amount``."""
        if self.mode is None or self.mode is Mode.CONTROL:
            return self.name
        text = f"{self.name}|{self.mode.value}"
        return text if self.amount is None else f"{text}@{_written(self.amount, self.unit)}"

    @classmethod
    def parse(
        cls, text: object, mode: "Mode | str | None" = None, control_names: Collection[str] = CONTROL_NAMES
    ) -> "Perturbation":
        """Read the label of a perturbation.

        ``A``, ``A+B``, ``A+ctrl`` (A alone), ``ctrl``, ``non-targeting``, ``A|KO``, ``A|CRISPRi@80%``,
        ``A|CRISPRa@3x``, ``compound|drug@1uM`` (also pM, nM, mM, M). A compound's name may hold ``+``; underscores
        belong to names.

        Args:
            text: the label.
            mode: the mode of all labels of a data set that does not write it; a label that says another is an error.
            control_names: what the data calls its controls, in any case.

        Raises:
            PerturbationError: empty, an unknown mode (with the nearest), a bad dose, or what the class refuses.
        """
        if not isinstance(text, str) or not text.strip():
            raise PerturbationError(f"{text!r} is not the label of a perturbation", expected="such as 'TP53' or 'A+B'")
        labels, written, amount_text = _split(text.strip())
        stated = _agreed(text, written, None if mode is None else _mode(mode))
        controls = {name.casefold() for name in control_names}
        parts = [labels] if stated is Mode.DRUG else labels.split("+")
        targets = [part.strip() for part in parts if part.strip().casefold() not in controls]
        if not targets or stated is Mode.CONTROL:
            return _control(text, targets, written, amount_text)
        if amount_text is not None and stated is None:
            raise PerturbationError(
                f"{text!r} has an amount and no mode", expected="targets|mode@amount, such as 'JQ1|drug@1uM'"
            )
        amount = None if amount_text is None or stated is None else _amount(text, amount_text, stated)
        return cls(tuple(targets), stated, amount)


def _mode(value: "Mode | str") -> Mode:
    by_name = {mode.value.casefold(): mode for mode in Mode}
    found = by_name.get(str(value).strip().casefold())
    if found is None:
        raise PerturbationError(
            f"unknown mode {str(value)!r}", remedy=did_you_mean(str(value), [m.value for m in Mode])
        )
    return found


def _split(text: str) -> tuple[str, Mode | None, str | None]:
    """Targets, mode and amount as they are written."""
    labels, bar, rest = text.rpartition("|")
    if not bar:
        labels, at, amount = text.rpartition("@")
        return (labels, None, amount) if at else (text, None, None)
    mode, at, amount = rest.partition("@")
    return labels, _mode(mode), amount if at else None


def _agreed(text: str, written: Mode | None, given: Mode | None) -> Mode | None:
    if written is None or given is None or written is given:
        return written or given
    raise PerturbationError(f"{text!r} says mode {written.value}", expected=f"{given.value}, as the data set's mode")


def _control(text: str, targets: Sequence[str], written: Mode | None, amount_text: str | None) -> Perturbation:
    if targets or amount_text is not None or written not in (None, Mode.CONTROL):
        raise PerturbationError(
            f"{text!r} is a control with something else",
            expected="a control's name alone",
            found=", ".join(filter(None, [*targets, written and written.value, amount_text and f"@{amount_text}"])),
        )
    return Perturbation((), Mode.CONTROL)


def _amount(text: str, amount_text: str, mode: Mode) -> float:
    units = _UNITS[mode]
    unit = next((u for u in sorted(units, key=len, reverse=True) if amount_text.strip().endswith(u)), None)
    expected = f"a number > 0 with the unit {' or '.join(u or '(none)' for u in units)}, such as {_example(mode)}"
    if unit is None:
        raise PerturbationError(f"{text!r} has an amount without a known unit", expected=expected, found=amount_text)
    digits = amount_text.strip().removesuffix(unit).strip()
    try:
        # Decimal: 0.3nM and 0.0003uM must be the same number.
        value = float(Decimal(digits).scaleb(units[unit][1]))
    except (InvalidOperation, OverflowError) as error:
        raise PerturbationError(f"{text!r} has a bad amount", expected=expected, found=amount_text) from error
    if not (math.isfinite(value) and value > 0):
        raise PerturbationError(f"{text!r} has a bad amount", expected=expected, found=amount_text)
    return value


def _example(mode: Mode) -> str:
    return {Mode.DRUG: "'JQ1|drug@1uM'", Mode.CRISPRA: "'KLF1|CRISPRa@3x'"}.get(mode, f"'TP53|{mode.value}@80%'")


def _written(amount: float, unit: str) -> str:
    if unit == "fold":
        return f"{amount!r}x"
    if unit == "fraction":
        return repr(amount)
    exact = Decimal(repr(amount))
    symbol, power = next(((s, p) for s, p in _PRINTED if exact >= Decimal(1).scaleb(p)), _PRINTED[-1])
    return f"{_plain(exact.scaleb(-power))}{symbol}"


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
