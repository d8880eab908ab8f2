"""Combination screen: which pairs of perturbations do more, less or something else than the sum of both."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from gnnvcell.config import Config
from gnnvcell.errors import ModelError, PerturbationError
from gnnvcell.models.base import EffectPredictor
from gnnvcell.screens.combined import Together, combined_names, together
from gnnvcell.screens.gallery import all_pairs, checked_gallery, own_targets
from gnnvcell.screens.interactions import InteractionConfig, interactions
from gnnvcell.screens.parts import Parts
from gnnvcell.screens.predicting import BATCH, genes_of
from gnnvcell.screens.result import ScreenResult, abstained_table, best_first

SHOWN_GENES = 5  # whose departure is named in the table


class ComboConfig(Config):
    """Settings of a combination screen.

    Args:
        rank_by: "departure" (how far from the sum, in log units), "relative" (over the length of the sum), or "noise"
            (over what the model's own errors would make of it; for models that know them).
        classes: limits of the classes of interactions.
        support_above: pairs with this support or less, in either part or in both, are named apart.
        batch: pairs that are predicted at a time.
    """

    rank_by: Literal["departure", "relative", "noise"] = "departure"
    classes: InteractionConfig = InteractionConfig()
    support_above: float = 0.0
    batch: int = Field(default=BATCH, ge=1)


def combo_screen(
    model: EffectPredictor,
    perturbations: Iterable[str],
    partners: Iterable[str] | None = None,
    *,
    context: Any = None,
    config: ComboConfig | None = None,
    keep_in: str | Path | None = None,
    model_key: str = "",
    progress: bool = False,
) -> ScreenResult:
    """Predict all pairs of a list, or of a list with its partners, and rank them by their departure from additivity.

    The perturbed genes themselves do not count. A model that averages its targets (graph-kNN, for combinations that it
    never saw) predicts less than the sum for every pair: ``typical_scale`` in the provenance, the median over pairs of
    ``Interactions.scale``, is 1 for a model that adds, and shows that.

    Args:
        model: any model of effects.
        perturbations: names, genes or drugs.
        partners: what each is combined with, such as a genome; the list itself when left out.
        context: cell type, as the model's ``predict`` takes it.
        config: settings.
        keep_in: folder for finished parts, from which an interrupted screen goes on; None keeps nothing.
        model_key: identity of the model, so that the parts of another one are not taken for its own.
        progress: a bar on stderr.

    Returns:
        ``table``: rank, perturbation, first, second, interaction and the numbers of ``Interactions``, ``noise`` (length
        of the departure that the model's errors would make), ``genes`` (of the largest departures, with their sign) and
        support. ``abstained``: pairs without support.

    Raises:
        PerturbationError: an empty list, no pair in it, a name that cannot be read, or a control.
        ModelError: no pair has support; pairs that no name says, of a model without actions; or ranking by a noise that
            the model does not know.

    Example:
        >>> found = combo_screen(model, ["STAT1", "IRF1", "JAK2"])  # doctest: +SKIP
        >>> found.table[["perturbation", "interaction", "departure"]]  # doctest: +SKIP
    """
    cfg, names = config or ComboConfig(), checked_gallery(perturbations, what="list of perturbations")
    others = None if partners is None else checked_gallery(partners, what="list of partners")
    pairs = all_pairs(names, others)
    if not pairs:
        raise PerturbationError(
            "the list has no pair of different targets",
            expected="two perturbations or more",
            found=", ".join(names[:5]),
        )
    first = genes_of(model, names[0], context=context)
    parts = Parts(keep_in, [model_key, str(context), cfg.classes.model_dump(mode="json")])
    found = []
    with tqdm(total=len(pairs), desc="pairs", unit="pair", disable=None if progress else True) as bar:
        for start in range(0, len(pairs), cfg.batch):
            part = pairs[start : start + cfg.batch]
            table = parts.get(part)
            if table is None:
                made = together(model, part, context=context, batch=cfg.batch)
                table = parts.put(part, _rows(made, part, first.genes, cfg.classes))
            found.append(table)
            bar.update(len(part))
    everything = pd.concat(found, ignore_index=True)
    silent = abstained_table(everything["perturbation"].to_numpy(), everything["support"].to_numpy(), cfg.support_above)
    ranked = _ranked(everything.iloc[np.flatnonzero(everything["support"] > cfg.support_above)], cfg, len(pairs))
    about = {
        "model": model_key or type(model).__name__,
        "context": first.context,
        "pairs": len(pairs),
        "typical_scale": float(np.median(ranked["scale"])),
        "settings": cfg.model_dump(mode="json"),
    }
    return ScreenResult("combo", ranked, silent, about)


def _ranked(table: pd.DataFrame, cfg: ComboConfig, pairs: int) -> pd.DataFrame:
    if not len(table):
        raise ModelError(
            f"the model has no support for any of the {pairs} pairs",
            remedy="name genes as graph and training do; support_above=-1 ranks them all the same",
        )
    if cfg.rank_by != "noise":
        return best_first(table, cfg.rank_by)
    if np.isnan(table["noise"]).all():
        raise ModelError(
            "the model does not know its errors", remedy="rank by departure, or take an ensemble or calibrated model"
        )
    return best_first(table.assign(over_noise=table["departure"] / table["noise"]), "over_noise")


def _rows(
    found: Together, pairs: Sequence[tuple[str, str]], genes: NDArray, classes: InteractionConfig
) -> pd.DataFrame:
    counted = np.ones(found.both.shape, dtype=bool)
    for side in (0, 1):
        counted[own_targets([pair[side] for pair in pairs], genes)] = False
    a, b, ab = (np.where(counted, side, 0.0) for side in (found.first, found.second, found.both))
    of = interactions(a, b, ab, classes)
    numbers = {name: value for name, value in of._asdict().items() if name not in ("kind", "first", "second")}
    return pd.DataFrame(
        {
            "perturbation": combined_names(pairs),
            "first": [pair[0] for pair in pairs],
            "second": [pair[1] for pair in pairs],
            "interaction": of.kind,
            **numbers,
            "weight_first": of.first,
            "weight_second": of.second,
            "noise": np.sqrt(np.where(counted, found.variance, 0.0).sum(axis=1)),
            "genes": _largest(ab - a - b, genes),
            "support": found.support.astype(np.float64),
        }
    )


def _largest(departure: NDArray, genes: NDArray) -> list[str]:
    """The genes of the largest departures of each pair, such as "+IRF1 -MYC"."""
    order = np.argsort(-np.abs(departure), axis=1, kind="stable")[:, :SHOWN_GENES]
    return [
        " ".join(f"{'+' if row[at] > 0 else '-'}{genes[at]}" for at in of if row[at] != 0)
        for row, of in zip(departure, order, strict=True)
    ]
