"""Which labels mean the same perturbation: ``A+B`` and ``B+A``, ``A`` and ``A+ctrl``, a gene's old and new symbol."""

from collections.abc import Collection
from dataclasses import dataclass, field

from gnnvcell import keys
from gnnvcell.genes import GeneVocab
from gnnvcell.perturbation import CONTROL_NAMES, Mode, Perturbation


@dataclass(frozen=True)
class Identity:
    """One common name for all spellings of a perturbation.

    Targets are sorted, controls among them dropped, and genes written by the vocabulary's symbols where it knows them.
    A drug keeps its dose: two doses are two perturbations.

    Args:
        vocab: joins a gene's names; without one only exact spellings are the same gene.
        mode: the mode of all labels of a data set that does not write it.
        control_names: what the data calls its controls, in any case.
    """

    vocab: GeneVocab | None = None
    mode: Mode | None = None
    control_names: Collection[str] = CONTROL_NAMES
    _known: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict, repr=False, compare=False)

    def name(self, label: str) -> str:
        """The common name, ``"control"`` for a control.

        Raises:
            PerturbationError: it is no label of a perturbation.
        """
        return self._read(label)[0]

    def targets(self, label: str) -> tuple[str, ...]:
        """The sorted genes, or the compound; empty for a control."""
        return self._read(label)[1]

    def _read(self, label: str) -> tuple[str, tuple[str, ...]]:
        if label not in self._known:
            self._known[label] = self._parsed(label)
        return self._known[label]

    def _parsed(self, label: str) -> tuple[str, tuple[str, ...]]:
        found = Perturbation.parse(label, self.mode, self.control_names)
        if found.is_control:
            return keys.CONTROL, ()
        if found.mode is Mode.DRUG:
            return str(found), tuple(found.targets)
        # A set: two names of one gene, "AARS+AARS1", are that gene alone.
        targets = tuple(sorted({self.symbol(target) for target in found.targets}))
        return str(Perturbation(targets, found.mode, found.amount)), targets

    def symbol(self, gene: str) -> str:
        """The vocabulary's symbol of a gene, or the name as it is where it has none."""
        if self.vocab is None:
            return gene
        row = int(self.vocab.lookup([gene])[0])
        return gene if row < 0 else str(self.vocab.symbols[row])
