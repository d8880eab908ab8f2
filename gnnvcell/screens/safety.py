"""Safety screen: what variants of a candidate do beside what they are for, over many cell types."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from gnnvcell.config import Config
from gnnvcell.errors import ConfigError, ModelError
from gnnvcell.models.base import EffectPredictor, Prediction
from gnnvcell.perturbation import Perturbation
from gnnvcell.screens.enrichment import q_values, set_changes
from gnnvcell.screens.gallery import checked_gallery, own_targets
from gnnvcell.screens.goal import Goal
from gnnvcell.screens.predicting import BATCH, predictions
from gnnvcell.screens.programmes import Programme, members, stress_programmes
from gnnvcell.screens.result import ScreenResult, abstained_table
from gnnvcell.screens.wanted import Wanted


class SafetyConfig(Config):
    """Settings of a safety screen.

    Args:
        fdr: level of the q values below which a programme counts as changed.
        least_genes: programmes of which the model reads fewer genes out are left out, and named.
        draws: random gene sets of each size.
        seed: of the draws.
        support_above: variants with this support or less are named apart in that cell type.
        batch: variants that are predicted at a time.
    """

    fdr: float = Field(default=0.05, gt=0, lt=1)
    least_genes: int = Field(default=5, ge=2)
    draws: int = Field(default=1000, ge=100)
    seed: int = Field(default=0, ge=0)
    support_above: float = 0.0
    batch: int = Field(default=BATCH, ge=1)


def with_amounts(candidate: str, amounts: Iterable[str]) -> list[str]:
    """A candidate in several strengths or doses.

    Args:
        candidate: such as "BRD4|CRISPRi" or "JQ1|drug"; its own amount is replaced.
        amounts: as they are written behind the @: "0.5", "80%", "1uM", "2x".

    Raises:
        PerturbationError: the candidate has no mode, or an amount cannot be read.

    Example:
        >>> with_amounts("JQ1|drug", ["100nM", "1uM"])
        ['JQ1|drug@100nM', 'JQ1|drug@1uM']
    """
    bare = str(Perturbation.parse(candidate)).partition("@")[0]
    return [str(Perturbation.parse(f"{bare}@{amount}")) for amount in amounts]


def safety_screen(
    model: EffectPredictor,
    variants: Iterable[str],
    *,
    contexts: Sequence[Any] = (None,),
    programmes: Sequence[Programme] = (),
    goal: Goal | None = None,
    config: SafetyConfig | None = None,
    progress: bool = False,
) -> ScreenResult:
    """Rank variants of a candidate by the harm that they are predicted to do, over all cell types.

    In each cell type the mean predicted change of every programme is held against random sets of as many genes; own
    targets do not count. A variant's ``harm`` is the mean over cell types of the summed excess (log1p) of its harmful
    programmes that are changed in their harmful direction (q <= fdr, over all variants, cell types and programmes).
    Programmes without a harmful direction that are changed are counted as ``off_target``.

    Args:
        model: any model of effects.
        variants: names: strengths or doses of one perturbation (``with_amounts``), related targets, several compounds.
        contexts: cell types, each as the model's ``predict`` takes it.
        programmes: further gene sets, beside those of stress, death and growth that come with the package.
        goal: what the candidate is for; ``wanted`` is then the mean cosine to it.
        config: settings.
        progress: a bar on stderr.

    Returns:
        ``table``: rank (1 is safest), perturbation, harm, harmful (number of changed harmful programmes, over cell
        types), off_target, worst, worst_context, wanted, size (mean length of the effect), contexts, least support.
        ``more["programmes"]``: every (variant, cell type, programme) with genes, change, excess, z, p, q and verdict.
        ``abstained``: pairs of variant and cell type without support.

    Raises:
        PerturbationError: no variant, a name that cannot be read, or a control.
        ConfigError: no cell type.
        DataError: no gene set has enough of the model's genes, two have one name, or the goal shares too few.
        ModelError: no variant has support in any cell type, or cell types of the model differ in their genes.
    """
    cfg, names = config or SafetyConfig(), checked_gallery(variants, what="list of variants")
    if not contexts:
        raise ConfigError("there is no cell type to screen in", expected="one or more")
    found = _predicted(model, names, contexts, cfg, progress)
    genes = next(iter(found.values())).genes
    chosen, columns, left_out = members([*stress_programmes(), *programmes], genes, least=cfg.least_genes)
    long = pd.concat(
        [_changes(context, one, chosen, columns, cfg) for context, one in found.items()], ignore_index=True
    )
    if not len(long):
        raise ModelError(
            f"the model has no support for any of the {len(names)} variants",
            found=", ".join(names[:5]),
            remedy="name them as graph and training do; support_above=-1 screens them all the same",
        )
    long["q"] = q_values(long["p"].to_numpy())
    long["verdict"] = _verdicts(long, cfg.fdr)
    silent = [
        abstained_table(one.perturbations, one.support, cfg.support_above).assign(context=context)
        for context, one in found.items()
    ]
    wanted = None if goal is None else Wanted.of(goal, genes)
    about = {
        "model": type(model).__name__,
        "contexts": list(found),
        "variants": len(names),
        "programmes": len(chosen),
        "programmes_with_too_few_genes": [one.name for one in left_out],
        **({} if wanted is None or goal is None else {"goal": goal.name, **wanted.coverage()}),
        "settings": cfg.model_dump(mode="json"),
    }
    table = _ranked(names, long, found, wanted, cfg)
    return ScreenResult("safety", table, pd.concat(silent, ignore_index=True), about, {"programmes": long})


def _predicted(
    model: EffectPredictor, names: list[str], contexts: Sequence[Any], cfg: SafetyConfig, progress: bool
) -> dict[str, Prediction]:
    """Name of each cell type to the predictions of all variants."""
    found: dict[str, Prediction] = {}
    for number, context in enumerate(tqdm(contexts, desc="cell types", disable=None if progress else True)):
        parts = list(predictions(model, names, context=context, batch=cfg.batch))
        name = parts[0].context or (context if isinstance(context, str) else f"context {number + 1}")
        if name in found:
            raise ConfigError(f"the cell type {name!r} is there twice", remedy="name each once")
        if found and not np.array_equal(next(iter(found.values())).genes, parts[0].genes):
            raise ModelError(f"the model reads other genes out in {name!r} than in the first cell type")
        values, support = (np.concatenate([getattr(one, field) for one in parts]) for field in ("values", "support"))
        found[name] = Prediction(values, np.array(names), parts[0].genes, support, name)
    return found


def _changes(
    context: str, found: Prediction, programmes: list[Programme], columns: list[NDArray[np.int64]], cfg: SafetyConfig
) -> pd.DataFrame:
    """A row for each supported variant and programme in one cell type."""
    rows = np.flatnonzero(found.support > cfg.support_above)
    names = np.asarray(found.perturbations)[rows]
    counted = np.ones((len(rows), len(found.genes)), dtype=bool)
    counted[own_targets(names, found.genes)] = False
    changes = set_changes(found.values[rows], counted, columns, draws=cfg.draws, seed=cfg.seed)
    count = len(programmes)
    return pd.DataFrame(
        {
            "perturbation": np.repeat(names, count),
            "context": context,
            "programme": np.tile([one.name for one in programmes], len(rows)),
            "harm": np.tile([one.harm for one in programmes], len(rows)),
            "genes": np.tile([len(at) for at in columns], len(rows)),
            **{name: values.ravel() for name, values in changes._asdict().items()},
        }
    )


def _verdicts(long: pd.DataFrame, fdr: float) -> NDArray:
    """ "harmful", "opposite" (changed the other way), "changed" (no harmful direction) or "" (not changed)."""
    harm, rising = long["harm"].to_numpy(), long["excess"].to_numpy() > 0
    bad = ((harm == "up") & rising) | ((harm == "down") & ~rising)
    verdict = np.select([harm == "", bad], ["changed", "harmful"], "opposite")
    return np.where(long["q"].to_numpy() <= fdr, verdict, "").astype(object)


def _ranked(
    names: list[str], long: pd.DataFrame, found: dict[str, Prediction], wanted: Wanted | None, cfg: SafetyConfig
) -> pd.DataFrame:
    rows = []
    for at, name in enumerate(names):
        inside = [one for one in found.values() if one.support[at] > cfg.support_above]
        if inside:
            own = long.iloc[np.flatnonzero(long["perturbation"] == name)]
            values = np.stack([one.values[at] for one in inside])
            support = min(float(one.support[at]) for one in inside)
            about = {**_summary(own, len(inside)), **_of_values(values, name, inside, wanted), "support": support}
            rows.append({"perturbation": name, **about})
    order = sorted(rows, key=lambda row: (row["harm"], row["off_target"], -np.nan_to_num(row["wanted"])))
    table = pd.DataFrame(order)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table


def _summary(own: pd.DataFrame, contexts: int) -> dict[str, Any]:
    bad = own.iloc[np.flatnonzero(own["verdict"] == "harmful")]
    worst = bad.iloc[int(np.argmax(np.abs(bad["excess"].to_numpy())))] if len(bad) else None
    return {
        "harm": float(np.abs(bad["excess"].to_numpy()).sum()) / contexts,
        "harmful": len(bad),
        "off_target": int((own["verdict"] == "changed").sum()),
        "worst": "" if worst is None else worst["programme"],
        "worst_context": "" if worst is None else worst["context"],
        "contexts": contexts,
    }


def _of_values(values: NDArray, name: str, inside: list[Prediction], wanted: Wanted | None) -> dict[str, float]:
    rows, columns = own_targets([name], inside[0].genes)
    other = values.astype(np.float64)
    other[:, columns[rows == 0]] = 0.0
    cosine = np.nan
    if wanted is not None:
        cosine = float(wanted.scores(values[:, wanted.columns], [name] * len(values)).cosine.mean())
    return {"wanted": cosine, "size": float(np.linalg.norm(other, axis=1).mean())}
