"""The leak check: what is held out is not known from training, by any spelling, as far as the strategy promises."""

from collections.abc import Collection, Mapping
from typing import Any

from gnnvcell import keys
from gnnvcell.data.splits.complexes import usable_groups
from gnnvcell.data.splits.conditions import DATASET, Conditions
from gnnvcell.data.splits.doubles import seen_class
from gnnvcell.data.splits.draws import TRAIN
from gnnvcell.data.splits.identity import Identity
from gnnvcell.data.splits.rules import rules_of
from gnnvcell.data.splits.split import REASON, Split
from gnnvcell.errors import DataError

_MOST = 5  # leaks written out in an error


def find_leaks(
    split: Split,
    *,
    strategy: str | None = None,
    identity: Identity | None = None,
    groups: Mapping[str, Collection[str]] | None = None,
) -> list[str]:
    """One sentence per leak; none for a clean split.

    Looked for: a perturbation in two parts (``A+B`` and ``B+A``, ``A`` and ``A+ctrl``, and a gene's names are one)
    within a cell type of a data set, and across all of them unless the strategy allows transfer; a combination in train
    with a gene that is held out alone; of "doubles" a class that is not the true one, or a held-out gene in train; of
    "complexes" a gene in train that shares a group with a held-out one.

    Args:
        split: to check.
        strategy: what it must promise; the split's own when left out.
        identity: which spellings are one perturbation; the split's own when left out.
        groups: gene to its groups, for "complexes"; those checked are the ones its size limit left.

    Raises:
        ConfigError: unknown strategy.
        DataError: "complexes" is to be checked without groups.
    """
    strategy = strategy or split.strategy
    rules = rules_of(strategy)
    conditions = Conditions(split.conditions.table, identity) if identity else split.conditions
    frame = split.table.assign(name=conditions.names)
    leaks = _two_parts(frame, [DATASET, keys.CELL_TYPE, "name"])
    if not rules.other_cell_types:
        leaks += [leak for leak in _two_parts(frame, ["name"]) if leak not in leaks]
    if not rules.genes:
        leaks += _known_genes(frame, conditions)
    if strategy == "doubles":
        leaks += _wrong_classes(frame, conditions) + _held_out_genes(split, frame, conditions)
    if strategy == "complexes":
        leaks += _shared_groups(split, frame, conditions, groups)
    return list(dict.fromkeys(leaks))


def check_leaks(
    split: Split,
    *,
    strategy: str | None = None,
    identity: Identity | None = None,
    groups: Mapping[str, Collection[str]] | None = None,
) -> Split:
    """The split, when ``find_leaks`` finds none.

    Raises:
        DataError: it leaks; the first leaks are in the message.
    """
    leaks = find_leaks(split, strategy=strategy, identity=identity, groups=groups)
    if leaks:
        more = f"; and {len(leaks) - _MOST} more" if len(leaks) > _MOST else ""
        raise DataError(
            f"the split leaks: {len(leaks)} found",
            expected=f"what strategy {strategy or split.strategy!r} promises",
            found="; ".join(leaks[:_MOST]) + more,
            remedy="put each on one side, or name the strategy that allows it (cell-type or few-shot: other cell types "
            "may know a perturbation; combinations: a combination may know a gene)",
        )
    return split


def _two_parts(frame: Any, by: list[str]) -> list[str]:
    sides = frame.groupby(by)[keys.SPLIT].nunique()
    leaks = []
    for found in sides.index[sides > 1]:
        key = found if isinstance(found, tuple) else (found,)
        rows = frame[(frame[by] == key).all(axis=1)]
        where = [
            f"{row[keys.SPLIT]} as {row[keys.PERTURBATION]!r} in {row[DATASET]}.{row[keys.CELL_TYPE]}"
            for _, row in rows.drop_duplicates(keys.SPLIT).iterrows()
        ]
        leaks.append(f"{key[-1]} is {' and '.join(where)}")
    return leaks


def _known_genes(frame: Any, conditions: Conditions) -> list[str]:
    """Combinations in train with a gene whose own perturbation is held out everywhere."""
    train = set(frame["name"][frame[keys.SPLIT] == TRAIN])
    alone = {name: conditions.targets(name) for name in set(frame["name"])}
    held_out = {genes[0]: name for name, genes in alone.items() if len(genes) == 1 and name not in train}
    return [
        f"{held_out[gene]} is held out and {name} is in train"
        for name in sorted(train)
        if len(alone[name]) > 1
        for gene in alone[name]
        if gene in held_out
    ]


def _wrong_classes(frame: Any, conditions: Conditions) -> list[str]:
    train = set(frame["name"][frame[keys.SPLIT] == TRAIN])
    known = {conditions.targets(name)[0] for name in train if len(conditions.targets(name)) == 1}
    leaks = []
    for name, reason, part in frame[["name", REASON, keys.SPLIT]].drop_duplicates().itertuples(index=False):
        true = seen_class(conditions.targets(name), known)
        if part != TRAIN and reason and reason != true:
            leaks.append(f"{name} is called {reason!r} and is {true!r}")
    return leaks


def _held_out_genes(split: Split, frame: Any, conditions: Conditions) -> list[str]:
    """Genes that the strategy held out, and that train has all the same."""
    held_out = set(split.settings.get("held_out_genes", ()))
    train = sorted(set(frame["name"][frame[keys.SPLIT] == TRAIN]))
    return [
        f"the gene {gene} is held out and {name} is in train"
        for name in train
        for gene in conditions.targets(name)
        if gene in held_out
    ]


def _shared_groups(
    split: Split, frame: Any, conditions: Conditions, groups: Mapping[str, Collection[str]] | None
) -> list[str]:
    if groups is None:
        raise DataError(
            "a complex-disjoint split is checked against complexes",
            remedy="give the gene sets or the graph that it was made with",
        )
    genes = sorted({gene for name in set(frame["name"]) for gene in conditions.targets(name)})
    usable = usable_groups(groups, genes, conditions.identity, split.settings.get("max_set_size"))
    sides: dict[str, dict[str, str]] = {}
    for name, part in frame[["name", keys.SPLIT]].drop_duplicates().itertuples(index=False):
        for gene in conditions.targets(name):
            for group in usable.get(gene, ()):
                sides.setdefault(group, {}).setdefault("train" if part == TRAIN else "held out", gene)
    return [
        f"{both['held out']} is held out and {both['train']} is in train, both in {group}"
        for group, both in sorted(sides.items())
        if len(both) == 2
    ]
