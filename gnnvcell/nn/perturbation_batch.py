"""PerturbationBatch: perturbations as indices and numbers, so that no layer works on text."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnvcell.errors import PerturbationError
from gnnvcell.genes import GeneVocab
from gnnvcell.perturbation import Mode, Perturbation

# In the order of their embeddings; None is a mode that the data does not say.
MODES: tuple[Mode | None, ...] = (Mode.CRISPRI, Mode.CRISPRA, Mode.KO, Mode.DRUG, Mode.CONTROL, None)
# Strengths of different units are different inputs: log10 of a dose in uM, log2 of a fold, a fraction as it is.
UNITS = ("uM", "fold", "fraction")
GENE, COMPOUND = "gene", "compound"


@dataclass(frozen=True, eq=False)
class PerturbationBatch:
    """Perturbations of one batch, with the targets of all of them one after the other.

    Args:
        target: (targets,) row of each target among the genes, or among the compounds; -1 where it is not there.
        is_compound: (targets,) whether it is a compound.
        owner: (targets,) the perturbation that a target belongs to, ascending.
        mode: (perturbations,) position in ``MODES``.
        strength: (perturbations, 3) amount in the column of its unit (``UNITS``), on the scale above; else 0.
        has_strength: (perturbations,) whether the amount is known.
        unknown: "gene" and "compound" to the names that are not among those given, each once, in their order.
        genes: number of genes that targets index into.
        compounds: number of compounds.

    Example:
        >>> given = [Perturbation.parse("TP53+MYC|KO"), Perturbation.parse("JQ1|drug@10uM"), Perturbation.parse("ctrl")]
        >>> batch = PerturbationBatch.of(given, genes=["MYC"], compounds=["JQ1"])
        >>> batch.target.tolist(), batch.owner.tolist(), batch.strength[1].tolist(), batch.unknown["gene"]
        ([-1, 0, 0], [0, 0, 1], [1.0, 0.0, 0.0], ('TP53',))
    """

    target: Int[Tensor, " targets"]
    is_compound: Bool[Tensor, " targets"]
    owner: Int[Tensor, " targets"]
    mode: Int[Tensor, " perturbations"]
    strength: Float[Tensor, "perturbations units"]
    has_strength: Bool[Tensor, " perturbations"]
    unknown: Mapping[str, tuple[str, ...]]
    genes: int
    compounds: int

    def __len__(self) -> int:
        return len(self.mode)

    @classmethod
    def of(
        cls,
        perturbations: Sequence[Perturbation],
        *,
        genes: GeneVocab | Sequence[str] = (),
        compounds: Sequence[str] = (),
    ) -> "PerturbationBatch":
        """Look the targets up, once.

        Args:
            perturbations: what to encode. The target of a drug is a compound, all others are genes.
            genes: the genes that features are in the order of; a vocabulary finds old symbols and ids too.
            compounds: the compounds that features are in the order of.

        Raises:
            PerturbationError: no perturbations, or compounds that repeat.
            GeneError: genes that repeat.
        """
        if not perturbations:
            raise PerturbationError("there are no perturbations to encode", expected="at least one")
        vocab = genes if isinstance(genes, GeneVocab) else GeneVocab.from_symbols(genes)
        place = {name: row for row, name in enumerate(compounds)}
        if len(place) < len(compounds):
            raise PerturbationError("compounds repeat", expected="each name once", found=_twice(compounds))
        pairs = [
            (row, name, given.mode is Mode.DRUG) for row, given in enumerate(perturbations) for name in given.targets
        ]
        found = vocab.lookup([name for _, name, _ in pairs]).tolist()
        target = [place.get(name, -1) if drug else row for row, (_, name, drug) in zip(found, pairs, strict=True)]
        missing = [pair for pair, row in zip(pairs, target, strict=True) if row < 0]
        return cls(
            target=torch.tensor(target, dtype=torch.int64),
            is_compound=torch.tensor([drug for _, _, drug in pairs], dtype=torch.bool),
            owner=torch.tensor([row for row, _, _ in pairs], dtype=torch.int64),
            mode=torch.tensor([MODES.index(given.mode) for given in perturbations], dtype=torch.int64),
            strength=torch.tensor([_strength(given) for given in perturbations], dtype=torch.float32),
            has_strength=torch.tensor([given.amount is not None for given in perturbations], dtype=torch.bool),
            unknown={
                kind: tuple(dict.fromkeys(name for _, name, drug in missing if drug is (kind == COMPOUND)))
                for kind in (GENE, COMPOUND)
            },
            genes=len(vocab),
            compounds=len(place),
        )

    def take(self, perturbations: Int[Tensor, " chosen"]) -> "PerturbationBatch":
        """Some of the perturbations, in any order and with repeats; ``unknown`` stays that of all."""
        count = torch.bincount(self.owner, minlength=len(self))
        start, chosen = count.cumsum(0) - count, count[perturbations]
        owner = torch.repeat_interleave(torch.arange(len(perturbations), device=count.device), chosen)
        within = torch.arange(len(owner), device=count.device) - (chosen.cumsum(0) - chosen)[owner]
        at = start[perturbations][owner] + within
        return replace(
            self,
            target=self.target[at],
            is_compound=self.is_compound[at],
            owner=owner,
            mode=self.mode[perturbations],
            strength=self.strength[perturbations],
            has_strength=self.has_strength[perturbations],
        )

    def to(self, device: torch.device | str) -> "PerturbationBatch":
        """The batch with its tensors on a device."""
        moved = {
            field.name: getattr(self, field.name).to(device)
            for field in fields(self)
            if isinstance(getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)


def _strength(perturbation: Perturbation) -> list[float]:
    amount, unit = perturbation.amount, perturbation.unit
    if amount is None:
        return [0.0] * len(UNITS)
    scaled = {"uM": math.log10, "fold": math.log2, "fraction": float}[unit](amount)
    return [scaled if unit == other else 0.0 for other in UNITS]


def _twice(names: Sequence[str]) -> str:
    return next(name for name in names if list(names).count(name) > 1)
