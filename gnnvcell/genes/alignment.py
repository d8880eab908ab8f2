"""What became of a list of gene names: the index of each, how it matched, or why it did not."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gnnvcell.genes.identities import KINDS
from gnnvcell.genes.spelling import species_name

UNMATCHED = ("unknown", "ambiguous", "wrong_species")
_HOW = {"symbol": "by symbol", "previous": "by previous symbol", "alias": "by alias"}


@dataclass(frozen=True, eq=False)
class Alignment:
    """Names aligned to a vocabulary.

    Args:
        names: (names,) as they were given.
        index: (names,) int64 gene index, -1 where not matched.
        reasons: (names,) how a name matched ("symbol", "previous", "alias", "ensembl", "ensp", "uniprot", "entrez") or
            why it did not ("unknown", "ambiguous", "wrong_species"). "previous" means that a renaming ties the name to
            the gene.
        symbols: (names,) symbol of the matched gene, empty where not matched.
        hints: unmatched name to what is known about it.
        source: where the names come from, for the report.
        species: taxon of the vocabulary.
    """

    names: NDArray
    index: NDArray[np.int64]
    reasons: NDArray
    symbols: NDArray
    hints: Mapping[str, str]
    source: str
    species: int

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _first(self) -> NDArray[np.int64]:
        """Positions of the first of each distinct name."""
        return np.sort(np.unique(self.names, return_index=True)[1])

    @property
    def coverage(self) -> float:
        """Share of the distinct names that matched a gene, in [0, 1]; NaN for no names."""
        first = self._first
        return float((self.index[first] >= 0).mean()) if len(first) else float("nan")

    @property
    def counts(self) -> dict[str, int]:
        """Reason to number of distinct names, only reasons that occur."""
        reasons = self.reasons[self._first].tolist()
        return {reason: reasons.count(reason) for reason in (*KINDS, *UNMATCHED) if reason in reasons}

    @property
    def unmatched(self) -> dict[str, list[str]]:
        """Reason to the distinct names that did not match for it, in the order given; only reasons that occur."""
        found: dict[str, list[str]] = {}
        for position in self._first[self.index[self._first] < 0].tolist():
            found.setdefault(str(self.reasons[position]), []).append(str(self.names[position]))
        return found

    @property
    def shared(self) -> dict[str, list[str]]:
        """Symbol of a gene to the distinct names that all mean it, where there are several."""
        by_symbol: dict[str, list[str]] = {}
        for position in self._first[self.index[self._first] >= 0].tolist():
            by_symbol.setdefault(str(self.symbols[position]), []).append(str(self.names[position]))
        return {symbol: names for symbol, names in by_symbol.items() if len(names) > 1}

    def report(self, *, examples: int = 10) -> str:
        """A few lines: coverage, how names matched, and the unmatched ones by reason with what is known about them.

        Args:
            examples: how many names to list for each reason.
        """
        counts, total = self.counts, len(self._first)
        matched = sum(counts.get(kind, 0) for kind in KINDS)
        label = self.source or "names"
        share = f" ({100 * matched / total:.1f} %)" if total else ""
        lines = [
            f"{label}: {matched:,} of {total:,} distinct names matched a gene of {species_name(self.species)}{share}"
        ]
        how = [f"{counts[kind]:,} {_HOW.get(kind, f'by {kind} id')}" for kind in KINDS if kind in counts]
        if how:
            lines.append(f"  matched: {', '.join(how)}")
        for reason, names in self.unmatched.items():
            shown = ", ".join(name or "(empty)" for name in names[:examples])
            more = f" and {len(names) - examples:,} more" if len(names) > examples else ""
            lines.append(f"  {reason.replace('_', ' ')}: {len(names):,}: {shown}{more}")
        if shared := self.shared:
            symbol, names = next(iter(shared.items()))
            lines.append(
                f"  several names of one gene: {len(shared):,} genes, for example {' and '.join(names)} ({symbol})"
            )
        lines += [f"  {name or '(empty)'} {hint}" for name, hint in list(self.hints.items())[:examples]]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.report()
