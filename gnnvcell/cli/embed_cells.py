"""``gnnvcell embed fit | transform | query``: embeddings of cells."""

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gnnvcell.features import FeatureTable
    from gnnvcell.graphs import GeneGraph


def add_verbs(verbs: Any) -> None:
    """Register the verbs."""
    _add_fit(verbs)
    _add_transform(verbs)
    _add_query(verbs)


def _add_fit(verbs: Any) -> None:
    verb = verbs.add_parser(
        "fit",
        help="train a state embedding model (SE) on cells, without labels",
        description="Train a transformer over the genes of a cell. Gene tokens are made of ESM features and of the "
        "gene graph, whichever is given. Interrupted, the same command with --resume goes on.",
    )
    verb.add_argument("cells", metavar="CELLS", help=".h5ad or .zarr with counts or log1p expression")
    verb.add_argument("--out", required=True, metavar="RUN", help="folder of the run; the model is in RUN/model")
    source = verb.add_mutually_exclusive_group()
    source.add_argument("--graph", metavar="DIR", help="a saved gene graph, whose encoder is trained with the model")
    source.add_argument("--graph-table", metavar="TABLE", help="graph embeddings of genes, computed beforehand")
    verb.add_argument("--esm", metavar="TABLE", help="protein features (gnnvcell embed esm)")
    verb.add_argument("--dataset", metavar="COLUMN", help="obs column that says which dataset a cell is from")
    verb.add_argument("--layer", metavar="NAME", help="layer with the values (default: X)")
    verb.add_argument("--config", metavar="TOML", help="settings (keys of PretrainingConfig: model, fit ...)")
    verb.add_argument(
        "--set",
        dest="overrides",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="for example model.width=256 model.layers=4 fit.max_steps=5000 fit.optimizer.lr=1e-3 batch_size=16",
    )
    verb.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    verb.add_argument("--quiet", action="store_true", help="no progress, no report")
    verb.set_defaults(run=run_fit)


def _add_transform(verbs: Any) -> None:
    verb = verbs.add_parser(
        "transform",
        help='write cells with their embeddings in obsm["X_state"]',
        description="Embed cells block by block; memory does not grow with their number.",
    )
    verb.add_argument("run_folder", metavar="RUN", help="folder of a run, or of a model")
    verb.add_argument("cells", metavar="CELLS", help=".h5ad or .zarr with counts or log1p expression")
    verb.add_argument("--out", required=True, metavar="FILE", help=".h5ad or .zarr to write")
    verb.add_argument("--layer", metavar="NAME", help="layer with the values (default: X)")
    verb.add_argument("--batch-size", type=int, default=32, metavar="N", help="cells read together (default: 32)")
    verb.add_argument("--device", metavar="NAME", help="cpu or cuda (default: cuda where there is one)")
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="of genes with equal expression (default: 0)")
    verb.add_argument("--quiet", action="store_true", help="no progress, no report")
    verb.set_defaults(run=run_transform)


def _add_query(verbs: Any) -> None:
    verb = verbs.add_parser(
        "query",
        help="nearest reference cells of each query cell, and the labels they hand on",
        description="Exact cosine similarity, in blocks. REFERENCE and QUERY are embedded files (embed transform), or, "
        "with RUN, any cells: they are embedded first.",
    )
    verb.add_argument("run_folder", nargs="?", metavar="RUN", help="folder of a run, or of a model")
    verb.add_argument("reference", metavar="REFERENCE", help=".h5ad or .zarr with labelled cells")
    verb.add_argument("query", metavar="QUERY", help=".h5ad or .zarr with cells to look up")
    verb.add_argument("--out", required=True, metavar="CSV", help="table to write: a line for each query cell")
    verb.add_argument("--labels", metavar="COLUMN", help="obs column of the reference that is handed on")
    verb.add_argument("-k", type=int, default=10, metavar="N", help="nearest cells (default: 10)")
    verb.add_argument("--batch-size", type=int, default=32, metavar="N", help="cells embedded together (default: 32)")
    verb.add_argument("--device", metavar="NAME", help="cpu or cuda (default: cuda where there is one)")
    verb.add_argument("--quiet", action="store_true", help="no progress, no report")
    verb.set_defaults(run=run_query)


def run_fit(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell embed fit``."""
    from gnnvcell.config import apply_overrides, read_toml
    from gnnvcell.features import read_features
    from gnnvcell.models.state_embedding import PretrainingConfig, pretrain

    graph, esm = _graph_of(arguments), read_features(arguments.esm) if arguments.esm else None
    settings = apply_overrides(read_toml(arguments.config) if arguments.config else {}, arguments.overrides)
    # What is given is used; a settings file may say the same, and is told where it says otherwise.
    flags = {"use_graph_embeddings": graph is not None, "use_esm": esm is not None}
    settings["model"] = {**flags, **settings.get("model", {})}
    settings |= {name: getattr(arguments, name) for name in ("dataset", "layer") if getattr(arguments, name)}
    model = pretrain(
        arguments.cells,
        PretrainingConfig.parse(settings, where="embed fit"),
        graph=graph,
        esm=esm,
        out_dir=arguments.out,
        resume=arguments.resume,
        progress=not arguments.quiet,
    )
    if not arguments.quiet:
        for source, count in model.missing.items():
            total = len(model.vocab)
            print(f"{source}: {total - count:,} of {total:,} genes" + (", the others are learned" if count else ""))
        print(f"saved in {arguments.out}/model")
    return 0


def run_transform(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell embed transform``."""
    from gnnvcell import keys
    from gnnvcell.models.state_embedding import embed_file, load
    from gnnvcell.models.state_embedding.expressed_cells import ExpressedCells
    from gnnvcell.models.state_embedding.vocabulary import match_columns

    model = load(arguments.run_folder).to(_device(arguments))
    cells = ExpressedCells.of(arguments.cells, layer=arguments.layer)
    path = embed_file(
        model,
        cells,
        arguments.out,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        progress=not arguments.quiet,
    )
    if not arguments.quiet:
        print(match_columns(model.vocab, cells.genes))
        print(f'{len(cells):,} cells with obsm["{keys.X_STATE}"]: {path}')
    return 0


def run_query(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell embed query``."""
    import pandas as pd

    from gnnvcell.files import atomic_path
    from gnnvcell.models.state_embedding import handed_on, nearest_cells

    reference, reference_obs = _embeddings(arguments, arguments.reference)
    query, query_obs = _embeddings(arguments, arguments.query)
    labels = None if arguments.labels is None else _labels(reference_obs, arguments.labels, arguments.reference)
    found = nearest_cells(reference, query, arguments.k, progress=not arguments.quiet)
    table = pd.DataFrame({"cell": query_obs.index.astype(str)})
    if labels is not None:
        table[arguments.labels], table["share"] = handed_on(found, labels)
    names = reference_obs.index.astype(str).to_numpy()
    for place in range(found.rows.shape[1]):
        table[f"nearest_{place + 1}"] = names[found.rows[:, place]]
        table[f"similarity_{place + 1}"] = found.similarity[:, place]
    with atomic_path(arguments.out) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    if not arguments.quiet:
        print(f"{len(table):,} cells looked up among {len(reference):,}: {arguments.out}")
    return 0


def _graph_of(arguments: argparse.Namespace) -> "GeneGraph | FeatureTable | None":
    from gnnvcell.features import read_features
    from gnnvcell.graphs import GeneGraph

    if arguments.graph:
        return GeneGraph.load(arguments.graph)
    return read_features(arguments.graph_table) if arguments.graph_table else None


def _embeddings(arguments: argparse.Namespace, path: str) -> "tuple[NDArray, Any]":
    """Embeddings of a file's cells, and their annotations."""
    import anndata as ad
    import numpy as np

    from gnnvcell import keys
    from gnnvcell.data.cell_file import open_store
    from gnnvcell.errors import DataError
    from gnnvcell.models.state_embedding import embed_cells, load
    from gnnvcell.models.state_embedding.expressed_cells import ExpressedCells

    if arguments.run_folder is not None:
        model, cells = load(arguments.run_folder).to(_device(arguments)), ExpressedCells.of(path)
        made = embed_cells(model, cells, batch_size=arguments.batch_size, progress=not arguments.quiet)
        return made, cells.obs
    store, _ = open_store(path)
    if "obsm" not in store or keys.X_STATE not in store["obsm"]:
        raise DataError(
            f'{path} has no obsm["{keys.X_STATE}"]',
            remedy="embed it (gnnvcell embed transform), or name a run before the two files",
        )
    return np.asarray(store["obsm"][keys.X_STATE][:]), ad.io.read_elem(store["obs"])


def _labels(obs: Any, column: str, path: str) -> "NDArray":
    from gnnvcell.errors import DataError, did_you_mean

    if column not in obs:
        raise DataError(f"{path} has no obs column {column!r}", remedy=did_you_mean(column, obs.columns))
    return obs[column].astype(str).to_numpy()


def _device(arguments: argparse.Namespace) -> str:
    import torch

    return arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
