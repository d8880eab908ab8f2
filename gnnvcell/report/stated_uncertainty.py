"""What a file of predicted effects says of its error, laid against the real effects of an evaluation."""

from pathlib import Path

import anndata as ad
import numpy as np
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.errors import DataError, FileFormatError, did_you_mean
from gnnvcell.files import require_file
from gnnvcell.tasks.cell_scores import CellScores
from gnnvcell.tasks.matching import targets_of
from gnnvcell.tasks.uncertainty import StatedUncertainty, UncertaintyScores, score_uncertainty


def score_effects_file(path: str | Path, scores: CellScores) -> UncertaintyScores:
    """Score the intervals, spreads and support of predicted effects by the true effects of an evaluation.

    Args:
        path: .h5ad or .zarr of ``gnnvcell predict --output effects``; genes that it lacks are not scored, and neither
            are perturbations that it abstains from.
        scores: of the evaluation: what was scored, and its true effects.

    Raises:
        FileFormatError: no such file, or no predicted effects in it.
        DataError: a scored perturbation is missing, the file says nothing of its error, or nothing is left to score.
    """
    effects = _opened(path)
    rows, columns = _rows(effects, scores), _columns(effects, scores.effects.genes)
    values = np.asarray(effects.X, dtype=np.float64)[np.ix_(rows, columns)]
    scored = scores.effects.scored & (columns >= 0) & np.isfinite(values)
    about = effects.uns.get(keys.INTERVALS)

    def layer(name: str) -> NDArray | None:
        if name not in effects.layers:
            return None
        return np.nan_to_num(np.asarray(effects.layers[name], dtype=np.float64)[np.ix_(rows, columns)], posinf=np.inf)

    kept = scored.any(axis=1)  # all of a perturbation, or nothing where it was abstained from
    parts = {name: layer(name) for name in (keys.SPREAD, keys.LOWER, keys.UPPER)}
    support = effects.obs[keys.SUPPORT].to_numpy(dtype=np.float64)[rows] if keys.SUPPORT in effects.obs else None
    stated = StatedUncertainty(
        **{name: None if part is None else part[kept] for name, part in parts.items()},
        level=None if about is None else float(about["level"]),
        support=None if support is None else support[kept],
    )
    names = np.asarray(scores.effects.names)[kept]
    return score_uncertainty(values[kept], scores.effects.true[kept], scored[kept], stated, names)


def _opened(path: str | Path) -> ad.AnnData:
    path = Path(path)
    effects = ad.read_zarr(path) if path.suffix == ".zarr" else ad.read_h5ad(require_file(path))
    if keys.EFFECT_KIND not in effects.uns or keys.PERTURBATION not in effects.obs:
        raise FileFormatError(
            f"{path} holds no predicted effects",
            expected=f"obs {keys.PERTURBATION}, uns {keys.EFFECT_KIND}",
            remedy="gnnvcell predict RUN DATA --output effects --out FILE",
        )
    return effects


def _rows(effects: ad.AnnData, scores: CellScores) -> NDArray[np.int64]:
    """(scored rows,) the row of the file; where the file has one cell type, whatever its name."""
    table = scores.per_perturbation
    contexts = effects.obs[keys.CONTEXT].astype(str) if keys.CONTEXT in effects.obs else [""] * effects.n_obs
    one = len(set(contexts)) == 1
    names = effects.obs[keys.PERTURBATION].astype(str)
    place = {(targets_of(n), "" if one else c): at for at, (n, c) in enumerate(zip(names, contexts, strict=True))}
    found = []
    for name, context in zip(table["perturbation"].astype(str), table["context"].astype(str), strict=True):
        key = (targets_of(name), "" if one else context)
        if key not in place:
            raise DataError(f"the predicted effects lack {name!r}", remedy=did_you_mean(name, names))
        found.append(place[key])
    return np.array(found, dtype=np.int64)


def _columns(effects: ad.AnnData, genes: NDArray) -> NDArray[np.int64]:
    """(genes,) column of the file, -1 where it lacks a gene."""
    place = {str(gene): at for at, gene in enumerate(effects.var_names)}
    found = np.array([place.get(str(gene), -1) for gene in genes], dtype=np.int64)
    if (found < 0).all():
        raise DataError("the predicted effects have none of the scored genes", found=", ".join(effects.var_names[:3]))
    return found
