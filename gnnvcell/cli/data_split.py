"""``gnnvcell data split``: divide the conditions of a screen, and check such a division for leaks."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnnvcell.cli.fields import add_field_arguments, fields_of

if TYPE_CHECKING:
    from gnnvcell.data.splits import Conditions, Split
    from gnnvcell.genes import GeneVocab

_NAMES = ("perturbation", "doubles", "cell-type", "few-shot", "complexes")


def add_verb(verbs: Any) -> None:
    """Register the verb."""
    verb = verbs.add_parser("split", help="divide perturbations into train, val and test, or check that for leaks")
    verb.add_argument("data", nargs="*", metavar="DATA", help="files of cells; several are one data set")
    verb.add_argument("--strategy", metavar="NAME", help=f"{', '.join(_NAMES)}; with --check: what it must promise")
    verb.add_argument("--out", metavar="FILE.toml", help="with --seeds: FILE_seed0.toml ...; beside it .csv, .png")
    verb.add_argument("--check", metavar="FILE", help="check a .toml or .csv for leaks: an error if there are some")
    verb.add_argument("--name", metavar="NAME", help="name of the data set in the TOML (default: the file's name)")
    verb.add_argument("--fractions", nargs=3, type=float, default=(0.64, 0.16, 0.20), metavar=("TRAIN", "VAL", "TEST"))
    verb.add_argument("--seed", type=int, default=0, help="first seed (default: 0)")
    verb.add_argument("--seeds", type=int, metavar="N", help="make N splits, of seeds from --seed on")
    verb.add_argument("--effects", action="store_true", help="compute effect sizes, for the summary and the picture")
    _add_strategy_arguments(verb)
    verb.add_argument("--vocab", metavar="DIR", help="a saved graph whose genes' other names are the same perturbation")
    add_field_arguments(verb)
    verb.set_defaults(run=run_split)


def _add_strategy_arguments(verb: argparse.ArgumentParser) -> None:
    group = verb.add_argument_group("strategies")
    group.add_argument("--stratify", metavar="BY", help="perturbation, few-shot: effect or cells, in quantile bins")
    group.add_argument("--bins", type=int, default=5, help="number of bins (default: 5)")
    group.add_argument("--test-genes", metavar="FILE", help="perturbation: the test perturbations, one per line")
    group.add_argument("--num-test", type=int, metavar="N", help="perturbation: exact number of test perturbations")
    group.add_argument("--combinations", default="refuse", metavar="HOW", help="perturbation: refuse (default) or own")
    group.add_argument(
        "--gene-fractions",
        nargs=3,
        type=float,
        metavar=("TRAIN", "VAL", "TEST"),
        help="doubles: of genes (default: --fractions, which are then of doubles of training genes); 1 0 0: no gene",
    )
    group.add_argument("--test-cell-types", nargs="+", default=[], metavar="NAME", help="cell-type, few-shot")
    group.add_argument("--val-cell-types", nargs="+", metavar="NAME", help="cell-type: for validation")
    group.add_argument("--no-val", action="store_true", help="cell-type: no validation part")
    group.add_argument("--reveal", metavar="N", help="few-shot: training, a number or a fraction (0.3)")
    group.add_argument("--val", metavar="N", help="few-shot: validation, a number or a fraction; 0: none")
    group.add_argument("--gmt", metavar="FILE", help="complexes: gene sets")
    group.add_argument("--graph", metavar="DIR", help="complexes: a saved graph with sets, such as Reactome's pathways")
    group.add_argument("--relation", metavar="NAME", help="complexes: the relation (default: the only one)")
    group.add_argument("--max-set-size", type=int, metavar="N", help="complexes: leave out larger sets")


def run_split(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell data split``."""
    if arguments.check:
        return _check(arguments)
    from gnnvcell.data.splits import check_leaks, find_dataset_files, write_split
    from gnnvcell.data.splits.plot import save_plot

    _require(arguments)
    conditions, name = _conditions(arguments)
    make, groups = _maker(arguments, conditions)
    files = [str(path.resolve()) for data in arguments.data for path in find_dataset_files(data)]
    dataset = {name: files[0] if len(files) == 1 else _braces(files)}
    for seed in range(arguments.seed, arguments.seed + (arguments.seeds or 1)):
        split = check_leaks(make(seed), groups=groups)
        out = Path(arguments.out)
        out = out.with_name(f"{out.stem}_seed{seed}{out.suffix}") if arguments.seeds else out
        written = [write_split(split, out, dataset), split.to_csv(out.with_suffix(".csv"))]
        if split.table["effect"].notna().any():
            written.append(save_plot(split, out.with_suffix(".png")))
        print(split.summary())
        print(f"saved in {', '.join(map(str, written))}\n")
    return 0


def _require(arguments: argparse.Namespace) -> None:
    from gnnvcell.errors import ConfigError, did_you_mean

    if not arguments.data or not arguments.out or not arguments.strategy:
        raise ConfigError("a split needs files, --strategy and --out", remedy="or --check FILE to check one")
    if arguments.strategy not in _NAMES:
        raise ConfigError(f"unknown strategy {arguments.strategy!r}", remedy=did_you_mean(arguments.strategy, _NAMES))
    if Path(arguments.out).suffix != ".toml":
        raise ConfigError(f"--out {arguments.out} does not end in .toml", remedy="name a .toml file")
    if arguments.seeds is not None and arguments.seeds < 1:
        raise ConfigError("--seeds is below 1", found=str(arguments.seeds))
    used = {
        "perturbation": ("stratify", "test_genes", "num_test"),
        "few-shot": ("stratify", "reveal", "val", "test_cell_types"),
        "doubles": ("gene_fractions",),
        "cell-type": ("test_cell_types", "val_cell_types", "no_val"),
        "complexes": ("gmt", "graph", "relation", "max_set_size"),
    }
    for option in sorted({option for options in used.values() for option in options} - set(used[arguments.strategy])):
        if getattr(arguments, option):
            flag = f"--{option.replace('_', '-')}"
            raise ConfigError(f"{flag} means nothing to strategy {arguments.strategy!r}", remedy="leave it out")


def _conditions(arguments: argparse.Namespace) -> tuple["Conditions", str]:
    """The conditions of the files, and the data set's name."""
    from gnnvcell.data.cells import Cells
    from gnnvcell.data.splits import Conditions, find_dataset_files
    from gnnvcell.data.splits.effect_sizes import effect_sizes

    vocab, parts = _vocab(arguments.vocab), []
    name = arguments.name or Path(arguments.data[0]).stem.replace(".", "_")
    for data in arguments.data:
        for path in find_dataset_files(data):
            cells = Cells.open(path, fields_of(arguments))
            effect = effect_sizes(cells) if arguments.effects or arguments.stratify == "effect" else None
            parts.append(Conditions.of_cells(cells, dataset=name, effect=effect, vocab=vocab))
    return Conditions.joined(parts), name


def _vocab(folder: str | None) -> "GeneVocab | None":
    if folder is None:
        return None
    from gnnvcell.graphs.gene_graph import GeneGraph

    return GeneGraph.load(folder).vocab


def _maker(
    arguments: argparse.Namespace, conditions: "Conditions"
) -> tuple[Callable[[int], "Split"], dict[str, set[str]] | None]:
    """Seed to split, and the groups to check it against."""
    from gnnvcell.data import splits
    from gnnvcell.files import read_names

    strata: dict[str, Any] = {"stratify": arguments.stratify, "bins": arguments.bins}
    if arguments.strategy == "perturbation":
        test = read_names(arguments.test_genes) if arguments.test_genes else arguments.num_test
        given = {"fractions": arguments.fractions, "test": test, "combinations": arguments.combinations} | strata
        return lambda seed: splits.by_perturbation(conditions, seed=seed, **given), None
    if arguments.strategy == "doubles":
        fractions = arguments.gene_fractions or arguments.fractions
        given = {"gene_fractions": fractions, "double_fractions": arguments.fractions}
        return lambda seed: splits.by_doubles(conditions, seed=seed, **given), None
    if arguments.strategy == "cell-type":
        val = () if arguments.no_val else arguments.val_cell_types
        return lambda _: splits.by_cell_type(conditions, test=arguments.test_cell_types, val=val), None
    if arguments.strategy == "few-shot":
        strata |= {"revealed": _number(arguments.reveal, "--reveal"), "val": _number(arguments.val, "--val")}
        held_out = arguments.test_cell_types
        return lambda seed: splits.by_few_shot(conditions, cell_types=held_out, seed=seed, **strata), None
    groups = _groups(arguments)
    given = {"fractions": arguments.fractions, "max_set_size": arguments.max_set_size}
    return lambda seed: splits.by_complexes(conditions, groups, seed=seed, **given), groups


def _number(text: str | None, flag: str) -> int | float:
    """A number of perturbations where it is whole without a point, else a fraction."""
    from gnnvcell.errors import ConfigError

    try:
        return int(text or "") if "." not in (text or "") else float(text or "")
    except ValueError:
        raise ConfigError(
            f"{flag} needs a number", expected="a number of perturbations, or a fraction such as 0.3", found=str(text)
        ) from None


def _groups(arguments: argparse.Namespace) -> dict[str, set[str]]:
    from gnnvcell.data.splits import groups_of_sets
    from gnnvcell.errors import ConfigError
    from gnnvcell.genes.gmt import read_gmt

    if bool(arguments.gmt) == bool(arguments.graph):
        raise ConfigError("complexes need gene sets", expected="one of --gmt FILE and --graph DIR")
    if arguments.gmt:
        return groups_of_sets({one.name: one.genes for one in read_gmt(Path(arguments.gmt))})
    return _groups_of_graph(arguments.graph, arguments.relation)


def _groups_of_graph(folder: str, relation: str | None) -> dict[str, set[str]]:
    """Gene to the sets that a relation from genes to other nodes puts it in."""
    from gnnvcell import keys
    from gnnvcell.errors import ConfigError, did_you_mean
    from gnnvcell.graphs.gene_graph import GeneGraph

    graph = GeneGraph.load(folder)
    of_sets = [r for r in graph.relations if graph.etype(r)[0] == keys.GENE and graph.etype(r)[2] != keys.GENE]
    if relation is None and len(of_sets) != 1:
        raise ConfigError(f"the graph has {len(of_sets)} relations of sets", remedy=f"--relation, one of {of_sets}")
    relation = relation or of_sets[0]
    if relation not in of_sets:
        raise ConfigError(f"the graph has no relation of sets {relation!r}", remedy=did_you_mean(relation, of_sets))
    sets = graph.names(graph.etype(relation)[2])
    groups: dict[str, set[str]] = {}
    genes, members = graph.edges(relation)[:2]
    for gene, member in zip(graph.vocab.symbols[genes].tolist(), sets[members].tolist(), strict=True):
        groups.setdefault(gene, set()).add(member)
    return groups


def _braces(files: list[str]) -> str:
    """One pattern for several files."""
    return "{" + ",".join(files) + "}"


def _check(arguments: argparse.Namespace) -> int:
    from gnnvcell.data.splits import Identity, Split, check_leaks, load_split

    vocab = _vocab(arguments.vocab)
    if Path(arguments.check).suffix == ".csv":
        split = Split.from_csv(arguments.check)
    else:
        split = load_split(arguments.check, fields_of(arguments), vocab=vocab)
    groups = _groups(arguments) if arguments.gmt or arguments.graph else None
    identity = Identity(vocab) if vocab else None
    check_leaks(split, strategy=arguments.strategy, identity=identity, groups=groups)
    print(split.summary())
    print("no leak")
    return 0
