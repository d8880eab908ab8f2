"""Complex-disjoint split: no co-member of a held-out gene's complex or pathway is in train."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from gnnvcell.data.splits.conditions import Conditions
from gnnvcell.data.splits.draws import DEFAULT_FRACTIONS, TEST, TRAIN, VAL, check_fractions, numbers_of, place
from gnnvcell.data.splits.identity import Identity
from gnnvcell.data.splits.split import Split
from gnnvcell.errors import DataError


def by_complexes(
    conditions: Conditions,
    groups: Mapping[str, Collection[str]],
    *,
    fractions: Sequence[float] = DEFAULT_FRACTIONS,
    seed: int = 0,
    max_set_size: int | None = None,
    tolerance: float = 0.05,
) -> Split:
    """Connected components of perturbations that share a gene or a group of genes go to one side as a whole.

    Components are taken in the order of the smallest hash of their members (see ``draws``); each goes to test while it
    fits into the number asked for, else to validation while it fits, else to train.

    Args:
        conditions: to split.
        groups: gene to the names of its complexes or pathways (``groups_of_sets``).
        fractions: of train, val and test among perturbations.
        seed: of the hash.
        max_set_size: groups with more genes than this are left out: pathways of a thousand genes join everything.
        tolerance: how far a part may stay below its number, as a fraction of all perturbations.

    Raises:
        ConfigError: bad fractions.
        DataError: no gene is in a group, or the components do not fit: one is so large that the parts cannot have
            their numbers (with its size and the largest groups that hold it together).
    """
    wanted = check_fractions(fractions)
    names = conditions.perturbations.tolist()
    targets = {name: conditions.targets(name) for name in names}
    genes = sorted({gene for several in targets.values() for gene in several})
    usable = usable_groups(groups, genes, conditions.identity, max_set_size)
    if not usable:
        raise DataError(
            "no perturbed gene is in a group",
            expected="gene sets with the genes' symbols",
            remedy="check the names (other identifiers?), give a vocabulary, or raise the size limit",
        )
    components = _components(names, targets, usable)
    number_val, number_test = numbers_of(len(names), wanted)
    parts = _placed(components, number_val, number_test, seed)
    _check_numbers(components, parts, (number_val, number_test), tolerance * len(names), targets, usable, max_set_size)
    lone = {name for component in components if len(component) == 1 for name in component}
    return Split(
        conditions,
        [parts[name] for name in conditions.names.tolist()],
        strategy="complexes",
        seed=seed,
        reasons=["shares no group" if name in lone else "component of groups" for name in conditions.names.tolist()],
        settings={
            "fractions": list(wanted),
            "max_set_size": max_set_size,
            "tolerance": tolerance,
            "components": len(components),
            "largest": max(map(len, components)),
        },
    )


def groups_of_sets(sets: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """Gene to its groups, from group to its genes (such as a GMT file's)."""
    groups: dict[str, set[str]] = {}
    for group, genes in sets.items():
        for gene in genes:
            groups.setdefault(gene, set()).add(group)
    return groups


def usable_groups(
    groups: Mapping[str, Collection[str]], genes: Sequence[str], identity: Identity, max_set_size: int | None
) -> dict[str, list[str]]:
    """The groups of each of ``genes`` that are within the size limit, genes met by any of their names."""
    sizes = Counter(group for of_gene in groups.values() for group in set(of_gene))
    wanted = set(genes)
    found: dict[str, set[str]] = {}
    for gene, of_gene in groups.items():
        symbol = identity.symbol(gene)
        if symbol in wanted:
            small = {group for group in of_gene if max_set_size is None or sizes[group] <= max_set_size}
            found.setdefault(symbol, set()).update(small)
    return {gene: sorted(of_gene) for gene, of_gene in found.items() if of_gene}


def _components(
    names: Sequence[str], targets: Mapping[str, Sequence[str]], usable: Mapping[str, Sequence[str]]
) -> list[list[str]]:
    """Perturbations joined by shared genes and groups, by union-find; each component sorted."""
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    first: dict[tuple[str, str], str] = {}
    for name in names:
        for gene in targets[name]:
            for link in [("gene", gene), *(("group", group) for group in usable.get(gene, ()))]:
                parent[root(name)] = root(first.setdefault(link, name))
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(root(name), []).append(name)
    return [sorted(component) for component in members.values()]


def _placed(components: list[list[str]], number_val: int, number_test: int, seed: int) -> dict[str, str]:
    room = {TEST: number_test, VAL: number_val}
    parts: dict[str, str] = {}
    for component in sorted(components, key=lambda names: min((place(name, seed), name) for name in names)):
        part = next((part for part in (TEST, VAL) if len(component) <= room[part]), TRAIN)
        if part != TRAIN:
            room[part] -= len(component)
        parts |= dict.fromkeys(component, part)
    return parts


def _check_numbers(
    components: list[list[str]],
    parts: Mapping[str, str],
    numbers: tuple[int, int],
    slack: float,
    targets: Mapping[str, Sequence[str]],
    usable: Mapping[str, Sequence[str]],
    max_set_size: int | None,
) -> None:
    got = Counter(parts.values())
    short = [
        f"{part} {got[part]} of {number}"
        for part, number in zip((VAL, TEST), numbers, strict=True)
        if number and (not got[part] or got[part] < number - slack)
    ]
    if not short and got[TRAIN]:
        return
    giant = max(components, key=len)
    inside = Counter(group for name in giant for gene in set(targets[name]) for group in usable.get(gene, ()))
    raise DataError(
        "the complexes cannot be divided like that: " + (", ".join(short) or "train is empty"),
        expected=f"components that fit into the parts, within {slack:.0f} perturbations",
        found=f"a component of {len(giant)} of {len(parts)} perturbations, held together by "
        + ", ".join(f"{group} ({number})" for group, number in inside.most_common(3)),
        remedy=f"leave out large groups (max_set_size, now {max_set_size or 'none'}), or ask for other fractions",
    )
