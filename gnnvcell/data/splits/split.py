"""Split: which conditions are for training, validation and test, how that was decided, and what it was decided from."""

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.config import digest_of
from gnnvcell.data.effects import EffectTable
from gnnvcell.data.splits.conditions import CELLS, DATASET, EFFECT, KEY, LABEL, Conditions
from gnnvcell.data.splits.draws import PARTS, TRAIN
from gnnvcell.data.splits.rules import UNKNOWN_STRATEGY, rules_of
from gnnvcell.errors import DataError, FileFormatError, did_you_mean
from gnnvcell.files import open_text, write_text

if TYPE_CHECKING:
    from gnnvcell.data.cells import Cells

REASON = "reason"
_COLUMNS = [*KEY, LABEL, keys.SPLIT, REASON, CELLS, EFFECT]
_HEAD = "# gnnvcell split: "


class Split:
    """The part of every condition. Control cells have no part: they belong to every one.

    Args:
        conditions: what was split.
        parts: (conditions,) "train", "val" or "test", in the order of ``conditions.table``.
        strategy: how it was decided, a name of ``rules.STRATEGIES``.
        seed: of the draws.
        reasons: (conditions,) why each is where it is; empty when left out.
        settings: of the strategy, JSON-able, as they were asked for.
        left_out: (dataset, cell type) pairs that are in the data and in no part.

    Raises:
        DataError: another number of parts, an unknown part or strategy, or no training condition.
    """

    def __init__(
        self,
        conditions: Conditions,
        parts: NDArray | list[str],
        *,
        strategy: str,
        seed: int = 0,
        reasons: list[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        left_out: Iterable[tuple[str, str]] = (),
    ) -> None:
        parts = np.asarray(parts, dtype=str)
        if len(parts) != len(conditions) or (reasons is not None and len(reasons) != len(conditions)):
            raise DataError(f"{len(parts)} parts for {len(conditions)} conditions", expected="one for each")
        for part in sorted(set(parts.tolist()) - set(PARTS)):
            raise DataError(f"unknown part {part!r}", remedy=did_you_mean(part, PARTS))
        rules_of(strategy)
        if not (parts == TRAIN).any():
            raise DataError("no condition is left to train on", remedy="hold out less")
        self.conditions, self.strategy, self.seed = conditions, strategy, int(seed)
        self.left_out = frozenset(left_out)
        self.settings: dict[str, Any] = json.loads(json.dumps(dict(settings or {})))
        columns = {keys.SPLIT: parts, REASON: reasons or [""] * len(parts)}
        self.table: Any = conditions.table.assign(**columns)[_COLUMNS]

    @property
    def parts(self) -> NDArray:
        """(conditions,) "train", "val" or "test"."""
        return self.table[keys.SPLIT].to_numpy(dtype=str)

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the parts of all conditions, independent of their order, and of nothing else."""
        return digest_of(sorted(self.table[[*KEY, keys.SPLIT]].values.tolist()))

    def __repr__(self) -> str:
        numbers = ", ".join(f"{int((self.parts == part).sum())} {part}" for part in PARTS)
        return f"Split({self.strategy}, seed {self.seed}: {numbers}, digest {self.digest[:12]})"

    def part_of(self, dataset: str, cell_type: str, perturbation: str) -> str:
        """The part of one condition; "control" for a control.

        Raises:
            DataError: the split does not know it (with the nearest).
        """
        name = self.conditions.identity.name(perturbation)
        return keys.CONTROL if name == keys.CONTROL else self._lookup(dataset, cell_type, [name])[0]

    def _lookup(self, dataset: str, cell_type: str, names: list[str]) -> list[str]:
        here = ((self.table[DATASET] == dataset) & (self.table[keys.CELL_TYPE] == cell_type)).to_numpy()
        known = dict(zip(self.conditions.names[here], self.parts[here], strict=True))
        unknown = [name for name in names if name not in known]
        if unknown:
            places = sorted(set(map(tuple, self.table[[DATASET, keys.CELL_TYPE]].values.tolist())))
            raise DataError(
                f"the split does not know {len(unknown)} perturbations of {dataset!r}, cell type {cell_type!r}",
                found=", ".join(unknown[:5]),
                remedy=did_you_mean(unknown[0], known) if known else f"it knows {places[:5]}; make it from these data",
            )
        return [str(known[name]) for name in names]

    def apply_to_cells(self, cells: "Cells", *, dataset: str | None = None) -> NDArray:
        """The part of each cell.

        Args:
            cells: of one data set.
            dataset: its name in the split; may be left out when the split has one.

        Returns:
            (cells,) "train", "val", "test"; "control" for cells that belong to every part; "" for cells whose
            perturbation is not known, and for cell types that the split leaves out.

        Raises:
            DataError: the split does not know a condition of the cells.
        """
        dataset = self._only_dataset() if dataset is None else dataset
        parts = np.where(cells.is_control, keys.CONTROL, "").astype("<U7")
        names = [self.conditions.identity.name(str(name)) for name in cells.perturbations]
        for context, cell_type in enumerate(cells.contexts):
            of_context = cells.context_code == context
            here = of_context & (cells.code >= 0)
            present = np.unique(cells.code[here])
            if (dataset, str(cell_type)) in self.left_out:
                parts[of_context] = ""
            elif len(present):
                of_code = np.full(len(names), "", dtype="<U7")
                of_code[present] = self._lookup(dataset, str(cell_type), [names[code] for code in present])
                parts[here] = of_code[cells.code[here]]
        return parts

    def rows(self, cells: "Cells", part: str, *, dataset: str | None = None) -> NDArray[np.int64]:
        """The cells of a part with the control cells of its cell types.

        Training also gets the controls of held-out cell types, as in cell-load: unperturbed cells of a cell type are
        known before anything is perturbed in it.

        Args:
            cells: of one data set.
            part: "train", "val" or "test".
            dataset: its name in the split; may be left out when the split has one.

        Raises:
            DataError: no cell is in the part.
        """
        parts = self.apply_to_cells(cells, dataset=dataset)
        chosen = parts == part
        if not chosen.any():
            raise DataError(f"no cell is in the part {part!r}", found=", ".join(sorted(set(parts.tolist()))))
        contexts = np.unique(cells.context_code if part == TRAIN else cells.context_code[chosen])
        return np.flatnonzero(chosen | ((parts == keys.CONTROL) & np.isin(cells.context_code, contexts)))

    def apply_to_effects(self, effects: EffectTable, *, dataset: str | None = None) -> EffectTable:
        """The effect table with the part of each row as its split.

        Args:
            effects: of one data set.
            dataset: its name in the split; may be left out when the split has one.

        Raises:
            DataError: the split does not know a row.
        """
        dataset = self._only_dataset() if dataset is None else dataset
        names = np.array([self.conditions.identity.name(str(name)) for name in effects.perturbations], dtype=str)
        parts = np.full(len(names), "", dtype="<U5")
        for context in np.unique(effects.contexts):
            here = effects.contexts == context
            parts[here] = self._lookup(dataset, str(context), names[here].tolist())
        return EffectTable(
            effects.values,
            effects.measured,
            effects.perturbations,
            effects.genes,
            kind=effects.kind,
            split=parts,
            context=effects.contexts,
            control=effects.control,
        )

    def _only_dataset(self) -> str:
        datasets = self.table[DATASET].unique().tolist()
        if len(datasets) > 1:
            raise DataError("the split has several data sets", found=", ".join(datasets), remedy="say which these are")
        return str(datasets[0])

    def summary(self) -> str:
        """A table of what is in each part: conditions, perturbations, cells, and quartiles of effect sizes."""
        lines = [f"{self.strategy}, seed {self.seed}, digest {self.digest[:16]}"]
        head = f"{'part':6} {'conditions':>10} {'perturbations':>13} {'cell types':>10} {'cells':>9}"
        lines.append(f"{head}   effect size: median [quartiles], range")
        for part in PARTS:
            rows = (self.parts == part).nonzero()[0]
            table = self.table.iloc[rows]
            perturbations, cell_types = len(set(self.conditions.names[rows])), table[keys.CELL_TYPE].nunique()
            cells = "?" if table[CELLS].isna().any() else f"{int(table[CELLS].sum()):,}"
            counts = f"{len(rows):>10,} {perturbations:>13,} {cell_types:>10,} {cells:>9}"
            lines.append(f"{part:6} {counts}   {_quartiles(table[EFFECT])}")
        reasons = self.table.groupby([keys.SPLIT, REASON], sort=True).size()
        lines += [f"  {part}: {reason}: {number:,}" for (part, reason), number in reasons.items() if reason]
        return "\n".join(lines)

    def to_csv(self, path: str | Path) -> Path:
        """Write one line per condition, after a comment line with strategy, seed, settings and digest."""
        head = {"strategy": self.strategy, "seed": self.seed, "settings": self.settings, "digest": self.digest}
        return write_text(path, f"{_HEAD}{json.dumps(head, sort_keys=True)}\n{self.table.to_csv(index=False)}")

    @classmethod
    def from_csv(cls, path: str | Path, *, conditions: Conditions | None = None) -> "Split":
        """Read what ``to_csv`` wrote, or any csv with the columns dataset, cell_type, perturbation and split.

        Args:
            path: the file.
            conditions: gives the identity of perturbations; exact spellings when left out.

        Raises:
            FileFormatError: missing, damaged, no such columns, or changed since it was written.
        """
        with open_text(path) as handle:
            text = handle.read()
        head: dict[str, Any] = {}
        if text.startswith(_HEAD):
            first, _, text = text.partition("\n")
            try:
                head = json.loads(first.removeprefix(_HEAD))
            except json.JSONDecodeError as error:
                raise FileFormatError(f"the first line of {path} is damaged", found=str(error)) from error
        texts: Any = dict.fromkeys([*KEY, LABEL, keys.SPLIT, REASON], str)
        table = pd.read_csv(io.StringIO(text), dtype=texts, keep_default_na=False)
        missing = [column for column in [*KEY, keys.SPLIT] if column not in table]
        if missing:
            raise FileFormatError(
                f"{path} has no column {missing[0]!r}",
                expected=", ".join([*KEY, keys.SPLIT]),
                found=", ".join(table.columns),
            )
        for column in (CELLS, EFFECT):
            table[column] = pd.to_numeric(table.get(column, pd.Series(np.nan, table.index)), errors="coerce")
        split = cls(
            Conditions(table, conditions.identity if conditions else None),
            table[keys.SPLIT].to_numpy(),
            strategy=head.get("strategy", UNKNOWN_STRATEGY),
            seed=head.get("seed", 0),
            reasons=table[REASON].tolist() if REASON in table else None,
            settings=head.get("settings"),
        )
        split.require_digest(head.get("digest"), path)
        return split

    def require_digest(self, digest: str | None, path: str | Path) -> None:
        """Raise a ``FileFormatError`` when a file says another digest than its content has; None says none."""
        if digest is not None and digest != self.digest:
            raise FileFormatError(
                f"{path} was changed since it was written, or the data were",
                expected=f"digest {digest[:16]}",
                found=self.digest[:16],
                remedy="make the split again, or delete the digest to stand by the change",
            )


def _quartiles(effects: pd.Series) -> str:
    known = effects.dropna()
    if not len(known):
        return "unknown" if len(effects) else "-"
    low, quarter, middle, three, high = known.quantile([0, 0.25, 0.5, 0.75, 1])
    return f"{middle:.2f} [{quarter:.2f}, {three:.2f}], {low:.2f} to {high:.2f}"
