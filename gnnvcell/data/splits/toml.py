"""Splits as TOML files of cell-load, which State and its relatives read.

``[datasets]`` name = path (a file, a folder of .h5 and .h5ad files, or a pattern with ``*`` and ``{a,b}``);
``[training]`` name = "train"; ``[zeroshot]`` "name.cell type" = "val" or "test"; ``[fewshot."name.cell type"]`` val and
test lists, the other perturbations of the cell type being train. What we know beyond that is in ``[gnnvcell]``, which
cell-load passes over. Read against cell-load 0.10.4 (MIT), and stricter: a perturbation in val and test, an unknown
name or an unknown table is an error here and silent there.
"""

import json
import re
import warnings
from pathlib import Path
from typing import Any

from pydantic import Field

from gnnvcell import keys
from gnnvcell.config import Config, read_toml
from gnnvcell.data.splits.conditions import DATASET, LABEL, Conditions
from gnnvcell.data.splits.draws import PARTS, TEST, TRAIN, VAL
from gnnvcell.data.splits.rules import UNKNOWN_STRATEGY, rules_of
from gnnvcell.data.splits.split import Split
from gnnvcell.errors import ConfigError, DataError, GnnvcellWarning, did_you_mean
from gnnvcell.files import write_text

_TABLES = ("datasets", "training", "zeroshot", "fewshot", "gnnvcell")


class FewShot(Config):
    """The held-out perturbations of one cell type."""

    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    train: tuple[str, ...] | None = None  # some people list it; the rest is train in any case


class Origin(Config):
    """How a split was made.

    Args:
        strategy: a name of ``rules.STRATEGIES``.
        seed: of its draws.
        parts_digest: ``Split.digest``; None does not check them.
        settings: of the strategy, as JSON.
    """

    strategy: str = UNKNOWN_STRATEGY
    seed: int = 0
    parts_digest: str | None = None
    settings: str = "{}"


class SplitFile(Config):
    """The content of a TOML file of cell-load.

    Args:
        datasets: name to path or pattern.
        training: names of data sets that are train unless something else is said, each = "train".
        zeroshot: "name.cell type" to the part of the whole cell type.
        fewshot: "name.cell type" to its held-out perturbations.
        gnnvcell: how it was made.
    """

    datasets: dict[str, str]
    training: dict[str, str] = Field(default_factory=dict)
    zeroshot: dict[str, str] = Field(default_factory=dict)
    fewshot: dict[str, FewShot] = Field(default_factory=dict)
    gnnvcell: Origin = Field(default_factory=Origin)

    @classmethod
    def read(cls, path: str | Path) -> "SplitFile":
        """Read and check a file; the data are not looked at.

        Raises:
            FileFormatError: missing or empty.
            ConfigError: not TOML, an unknown table, data set or part, a key that is not "name.cell type" in quotes, a
                cell type in two tables, or a perturbation in two lists.
        """
        content = read_toml(path)
        for table in content:
            if table not in _TABLES:
                raise ConfigError(f"{path} has an unknown table [{table}]", remedy=did_you_mean(table, _TABLES))
        if not content.get("datasets"):
            raise ConfigError(f"{path} names no data set", remedy='add [datasets] with name = "path"')
        _check_quotes(content, path)
        for key, lists in content.get("fewshot", {}).items():
            FewShot.parse(lists, where=f"{path}: [fewshot.{key}]")  # names the nearest key, which the whole does not
        found = cls.parse(content, where=str(path))
        found._check(path)
        return found

    def _check(self, path: str | Path) -> None:
        for name in self.datasets:
            if "." in name or not name:
                raise ConfigError(f"{path}: the data set's name {name!r} has a dot or is empty", remedy="use no dots")
        for name in [*self.training, *(key.partition(".")[0] for key in [*self.zeroshot, *self.fewshot])]:
            if name not in self.datasets:
                raise ConfigError(f"{path}: [datasets] has no {name!r}", remedy=did_you_mean(name, self.datasets))
        for key in [*self.zeroshot, *self.fewshot]:
            if "." not in key:
                raise ConfigError(f"{path}: {key!r} names no cell type", expected='"name.cell type"')
        for name, part in [*self.training.items(), *self.zeroshot.items()]:
            allowed = (TRAIN,) if name in self.training else PARTS
            if part not in allowed:
                raise ConfigError(f"{path}: {name!r} has an unknown part {part!r}", remedy=did_you_mean(part, allowed))
        for key in self.fewshot:
            if key in self.zeroshot:
                raise ConfigError(f"{path}: {key!r} is in [zeroshot] and in [fewshot]", remedy="keep one of them")
        for key, lists in self.fewshot.items():
            _check_lists(key, lists, path)
        rules_of(self.gnnvcell.strategy)

    def assign(self, conditions: Conditions) -> Split:
        """The part of every condition of the data.

        A cell type of a data set that is not in [training], and is said nothing about, is in no part: that is counted
        in a ``GnnvcellWarning``, and listed in ``Split.left_out``.

        Args:
            conditions: of all data sets that the file uses, under their names in it.

        Raises:
            DataError: the file names a cell type or a perturbation that is not in the data (with the nearest), a
                perturbation is in both lists under two spellings, or a part that it asks for is empty.
            FileFormatError: the data or the file changed since it was written.
        """
        places = list(map(tuple, conditions.table[[DATASET, keys.CELL_TYPE]].values.tolist()))
        self._check_places(set(places))
        sides = {place: self._sides(place, conditions) for place in dict.fromkeys(places)}
        left_out = [place for place, of_place in sides.items() if of_place is None]
        kept = [sides[place] is not None for place in places]
        if left_out:
            warnings.warn(
                f"{len(left_out)} cell types are in no part, such as {'.'.join(left_out[0])}: their data set is not in "
                "[training], and neither [zeroshot] nor [fewshot] names them",
                GnnvcellWarning,
                stacklevel=2,
            )
        if not any(kept):
            raise DataError("the split leaves out all data", remedy='add the data set to [training] as name = "train"')
        remaining = Conditions(conditions.table[kept], conditions.identity)
        names = remaining.names.tolist()
        rows = zip(remaining.table[DATASET], remaining.table[keys.CELL_TYPE], names, strict=True)
        parts = [(sides[dataset, cell_type] or {}).get(name, TRAIN) for dataset, cell_type, name in rows]
        origin = self.gnnvcell
        return Split(
            remaining,
            parts,
            strategy=origin.strategy,
            seed=origin.seed,
            settings=json.loads(origin.settings),
            left_out=left_out,
        )

    def _check_places(self, places: set[tuple[str, str]]) -> None:
        for key in [*self.zeroshot, *self.fewshot]:
            dataset, _, cell_type = key.partition(".")
            valid = [known for name, known in places if name == dataset]
            if cell_type not in valid:
                raise DataError(
                    f"the data set {dataset!r} has no cell type {cell_type!r}", remedy=did_you_mean(cell_type, valid)
                )

    def _sides(self, place: tuple[str, str], conditions: Conditions) -> dict[str, str] | None:
        """Perturbation to part, for those of a cell type that are not train; None where it is in no part."""
        dataset, cell_type = place
        key = f"{dataset}.{cell_type}"
        here = ((conditions.table[DATASET] == dataset) & (conditions.table[keys.CELL_TYPE] == cell_type)).to_numpy()
        names = set(conditions.names[here].tolist())
        labelled = conditions.table[LABEL][here].to_numpy(dtype=str)
        if key in self.zeroshot:
            return dict.fromkeys(names, self.zeroshot[key])
        if key not in self.fewshot:
            return {} if dataset in self.training else None
        sides: dict[str, str] = {}
        for part, labels in ((VAL, self.fewshot[key].val), (TEST, self.fewshot[key].test)):
            for label in labels:
                # As the file writes it, which may be several doses of one drug; failing that any spelling.
                meant = set(conditions.names[here][labelled == label].tolist())
                for name in meant or {conditions.identity.name(label)} & names:
                    if sides.setdefault(name, part) != part:
                        raise DataError(
                            f"{name!r} is in val and in test of {key!r}, as {label!r}", remedy="keep one of them"
                        )
                if not meant and conditions.identity.name(label) not in names:
                    raise DataError(
                        f"the cell type {key!r} has no perturbation {label!r}, which is listed as {part}",
                        remedy=did_you_mean(label, names),
                    )
        return sides

    @classmethod
    def of_split(cls, split: Split, datasets: dict[str, str]) -> "SplitFile":
        """The file's content for a split.

        Args:
            split: to write.
            datasets: name to path or pattern, for all data sets of the split.

        Raises:
            ConfigError: a data set has no path, or a name with a dot.
        """
        zeroshot: dict[str, str] = {}
        fewshot: dict[str, FewShot] = {}
        training: dict[str, str] = {}
        by_place: Any = split.table.groupby([DATASET, keys.CELL_TYPE], sort=True)
        for (dataset, cell_type), rows in by_place:
            parts = rows[keys.SPLIT]
            key = f"{dataset}.{cell_type}"
            if parts.nunique() == 1 and parts.iloc[0] != TRAIN:
                zeroshot[key] = str(parts.iloc[0])
                continue
            training[str(dataset)] = TRAIN
            lists = _lists(key, rows)
            if any(lists.values()):
                fewshot[key] = FewShot(**lists)
        origin = Origin(
            strategy=split.strategy,
            seed=split.seed,
            parts_digest=split.digest,
            settings=json.dumps(split.settings, sort_keys=True),
        )
        found = cls(datasets=datasets, training=training, zeroshot=zeroshot, fewshot=fewshot, gnnvcell=origin)
        found._check("the split")
        return found

    def text(self) -> str:
        """The content as TOML."""
        lines = ["[datasets]", *(f"{_key(name)} = {_quoted(path)}" for name, path in self.datasets.items())]
        lines += ["", "[training]", *(f"{_key(name)} = {_quoted(part)}" for name, part in self.training.items())]
        if self.zeroshot:
            lines += ["", "[zeroshot]", *(f"{_quoted(key)} = {_quoted(part)}" for key, part in self.zeroshot.items())]
        for key, lists in self.fewshot.items():
            named = (f"{part} = {_listed(getattr(lists, part))}" for part in (VAL, TEST))
            lines += ["", f"[fewshot.{_quoted(key)}]", *named]
        origin = self.gnnvcell.model_dump(exclude_none=True)
        lines += ["", "# How it was made; cell-load passes over this table.", "[gnnvcell]"]
        return "\n".join([*lines, *(f"{name} = {_quoted(value)}" for name, value in origin.items())]) + "\n"


def write_split(split: Split, path: str | Path, datasets: dict[str, str]) -> Path:
    """Write a split as a TOML file of cell-load; errors as of ``SplitFile.of_split``.

    Args:
        split: to write.
        path: ends in .toml.
        datasets: name to path or pattern; cell-load looks relative paths up from where it runs.
    """
    return write_text(path, SplitFile.of_split(split, datasets).text())


def _lists(key: str, rows: Any) -> dict[str, tuple[str, ...]]:
    """The held-out perturbations of a cell type as its file writes them.

    Where the file writes perturbations of several parts alike, they are written with mode and dose, and a
    ``GnnvcellWarning`` says that cell-load cannot tell them apart.
    """
    alike = (rows.groupby(LABEL)[keys.SPLIT].transform("nunique") > 1).to_numpy()
    if alike.any():
        warnings.warn(
            f"{int(alike.sum())} perturbations of {key!r} are on several sides and the data write them alike, such as "
            f"{rows[LABEL][alike].iloc[0]!r}: they are listed with mode and dose, which cell-load does not understand",
            GnnvcellWarning,
            stacklevel=3,
        )
    written = rows[LABEL].where(~alike, rows[keys.PERTURBATION])
    return {part: tuple(sorted(set(written[rows[keys.SPLIT] == part]))) for part in (VAL, TEST)}


def _check_quotes(content: dict[str, Any], path: str | Path) -> None:
    """TOML reads a.b without quotes as a table in a table, which cell-load passes over in silence."""
    for table in ("zeroshot", "fewshot"):
        for key, value in content.get(table, {}).items():
            depth = value.values() if table == "fewshot" and isinstance(value, dict) else [value]
            if any(isinstance(inner, dict) for inner in depth):
                inner = next(iter(value), "cell type")
                raise ConfigError(
                    f"{path}: [{table}] has {key}.{inner} without quotes", remedy=f'write "{key}.{inner}" in quotes'
                )


def _check_lists(key: str, lists: FewShot, path: str | Path) -> None:
    named = {VAL: set(lists.val), TEST: set(lists.test), TRAIN: set(lists.train or ())}
    for one, other in ((VAL, TEST), (TRAIN, VAL), (TRAIN, TEST)):
        both = sorted(named[one] & named[other])
        if both:
            raise ConfigError(
                f"{path}: {both[0]!r} is in {one} and in {other} of {key!r}",
                found=f"{len(both)} perturbations in both",
                remedy="keep each in one list",
            )


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(value: str | int) -> str:
    # A JSON string is a TOML basic string.
    return json.dumps(value, ensure_ascii=False)


def _listed(names: tuple[str, ...]) -> str:
    return "[" + ", ".join(map(_quoted, names)) + "]"
