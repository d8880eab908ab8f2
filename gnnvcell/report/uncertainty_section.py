"""The section of the evaluation page on stated uncertainty, and the same as text."""

import numpy as np

from gnnvcell.report.figures import FigureWriter
from gnnvcell.report.html import DataTable, section, tables_block
from gnnvcell.report.uncertainty_charts import uncertainty_chart
from gnnvcell.tasks.uncertainty import UncertaintyScores

_NAMES = {
    "coverage": "true effects inside stated intervals",
    "width": "mean width of intervals (log1p)",
    "interval_score": "interval score (log1p, low is good)",
    "without_end": "share of intervals without end",
    "calibration_error": "relative error of stated spreads",
    "gain_pairs": "gain of leaving out uncertain pairs",
    "gain_perturbations": "gain of leaving out uncertain perturbations",
    "gain_support": "gain of leaving out perturbations with little support",
}
_CAPTION = (
    "Left: how often true effects lie in an interval of some nominal coverage. Middle: the size of errors where stated "
    "spreads are alike. Dashed: as it should be. Right: the mean error of the perturbations that are kept when the "
    "least certain are left out; in brackets the share of the possible gain, 1 were the errors known beforehand, 0 for "
    "leaving out at random."
)


def uncertainty_section(scores: UncertaintyScores, write: FigureWriter) -> str:
    """Figure and table, as HTML."""
    figure = write(lambda width: uncertainty_chart(scores, width=width), "uncertainty", _CAPTION)
    rows = [[name, _shown(value)] for name, value in _named(scores).items()]
    return section("How far to trust a prediction", figure + tables_block([DataTable("", ("", ""), rows)]))


def uncertainty_text(scores: UncertaintyScores) -> str:
    """The scores, each in words, for a terminal."""
    return "\n".join(f"{name}: {_shown(value)}" for name, value in _named(scores).items())


def _named(scores: UncertaintyScores) -> dict[str, float]:
    """What is known of the scores, by what they are."""
    level = "" if scores.level is None else f", which should be {scores.level:g}"
    return {
        text + (level if name == "coverage" else ""): scores.metrics[name]
        for name, text in _NAMES.items()
        if name in scores.metrics
    }


def _shown(value: float) -> str:
    return f"{value:.3f}".replace("-", "−") if np.isfinite(value) else "–"
