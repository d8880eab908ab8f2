"""A contest of two implementations in one process: turn by turn, after a warm-up, medians and their spread."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

RESULTS: list["Outcome"] = []  # what the summary of ``conftest`` prints


@dataclass(frozen=True)
class Outcome:
    """One measured line of the table.

    Args:
        case: what was done.
        rival: against what.
        threads: torch threads.
        ours, theirs: median milliseconds (or another ``unit``).
        ratios: how many times better ours was, round by round.
        target: ratio that was asked for; None where none was.
        unit: of ours and theirs.
    """

    case: str
    rival: str
    threads: int
    ours: float
    theirs: float
    ratios: NDArray[np.float64]
    target: float | None
    unit: str = "ms"

    @property
    def ratio(self) -> float:
        """The median of the rounds."""
        return float(np.median(self.ratios))


def compete(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    case: str,
    rival: str,
    target: float | None,
    threads: int,
    rounds: int = 7,
) -> Outcome:
    """Time two callables turn by turn and note the outcome."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for call in (ours, theirs, ours):
            call()
        times = np.empty((rounds, 2))
        gc.disable()
        for row in times:
            for i, call in enumerate((ours, theirs)):
                start = time.perf_counter()
                call()
                row[i] = time.perf_counter() - start
    finally:
        gc.enable()
        torch.set_num_threads(before)
    middle = np.median(times, axis=0) * 1e3
    outcome = Outcome(case, rival, threads, middle[0], middle[1], times[:, 1] / times[:, 0], target)
    RESULTS.append(outcome)
    return outcome


def format_results(results: list[Outcome]) -> str:
    """The outcomes as a Markdown table."""
    lines = [
        "| case | against | threads | ours | theirs | ratio (quartiles) | asked for | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        asked = "-" if r.target is None else f"{r.target:g}"
        met = "" if r.target is None else ("met" if r.ratio >= r.target else "**missed**")
        low, high = np.percentile(r.ratios, [25, 75])
        spread = f" ({low:.2f}-{high:.2f})" if len(r.ratios) > 1 else ""
        lines.append(
            f"| {r.case} | {r.rival} | {r.threads} | {r.ours:.3g} {r.unit} | {r.theirs:.3g} {r.unit} "
            f"| {r.ratio:.2f}{spread} | {asked} | {met} |"
        )
    return "\n".join(lines)
