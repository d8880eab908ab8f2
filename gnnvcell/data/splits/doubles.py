"""Unseen doubles, by the classes of GEARS (Roohani et al., Nature Biotechnology 2023): how many genes are seen."""

from collections.abc import Collection, Sequence

from gnnvcell.data.splits.conditions import Conditions
from gnnvcell.data.splits.draws import DEFAULT_FRACTIONS, TEST, TRAIN, VAL, check_fractions, draw, numbers_of
from gnnvcell.data.splits.split import Split
from gnnvcell.errors import DataError

UNSEEN_SINGLE = "unseen single"


def by_doubles(
    conditions: Conditions,
    *,
    gene_fractions: Sequence[float] = DEFAULT_FRACTIONS,
    double_fractions: Sequence[float] = DEFAULT_FRACTIONS,
    seed: int = 0,
) -> Split:
    """Hold out genes, and some combinations of the others.

    Genes are divided first. Everything that has a test gene is test, everything else that has a validation gene is
    validation: a held-out gene is in no training condition, alone or combined. Combinations of training genes only are
    divided by ``double_fractions``. Reasons name the class: "0 of 2 seen", "1 of 2 seen", "2 of 2 seen" (a gene is seen
    when its single is in train), and "unseen single".

    Args:
        conditions: singles and combinations.
        gene_fractions: of genes; (1, 0, 0) keeps all singles in train.
        double_fractions: of combinations of training genes; (0, 0, 1) tests all of them.
        seed: of the hash of genes and of combinations (see ``draws``).

    Raises:
        ConfigError: bad fractions.
        DataError: there is no combination, or a part that is asked for would be empty.
    """
    names = conditions.perturbations.tolist()
    targets = {name: conditions.targets(name) for name in names}
    if not any(len(genes) > 1 for genes in targets.values()):
        raise DataError("no perturbation has several genes", remedy="use the strategy perturbation")
    of_genes, of_doubles = check_fractions(gene_fractions), check_fractions(double_fractions)
    genes = sorted({gene for several in targets.values() for gene in several})
    sides = draw(dict.fromkeys(genes, 0), *numbers_of(len(genes), of_genes, "genes"), seed)
    parts = {name: _side([sides[gene] for gene in targets[name]]) for name in names}
    free = [name for name in names if len(targets[name]) > 1 and parts[name] == TRAIN]
    if free:
        parts |= draw(dict.fromkeys(free, 0), *numbers_of(len(free), of_doubles, "doubles of training genes"), seed)
    _check_parts(parts, [of_genes[i] + of_doubles[i] for i in range(3)])
    known = {targets[name][0] for name in names if parts[name] == TRAIN and len(targets[name]) == 1}
    order = conditions.names.tolist()
    return Split(
        conditions,
        [parts[name] for name in order],
        strategy="doubles",
        seed=seed,
        reasons=["" if parts[name] == TRAIN else seen_class(targets[name], known) for name in order],
        settings={
            "gene_fractions": list(of_genes),
            "double_fractions": list(of_doubles),
            "held_out_genes": [gene for gene in genes if sides[gene] != TRAIN],
        },
    )


def seen_class(targets: Collection[str], known: Collection[str]) -> str:
    """The class of a held-out perturbation.

    Args:
        targets: its genes.
        known: genes whose singles are in train.
    """
    if len(targets) == 1:
        return UNSEEN_SINGLE
    return f"{sum(gene in known for gene in targets)} of {len(targets)} seen"


def _side(sides: Sequence[str]) -> str:
    return TEST if TEST in sides else VAL if VAL in sides else TRAIN


def _check_parts(parts: dict[str, str], asked: Sequence[float]) -> None:
    for part, fraction in zip((TRAIN, VAL, TEST), asked, strict=True):
        if fraction > 0 and part not in parts.values():
            raise DataError(
                f"the {part} part would be empty",
                expected="at least one perturbation",
                remedy=f"another seed, larger fractions of {part}, or 0 in both to ask for no {part} part",
            )
