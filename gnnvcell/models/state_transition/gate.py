"""EvidenceGate: how far to trust the network, and how far a simpler model, by the evidence the graph has."""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class EvidenceGate:
    """A mixture of two predictions of an effect::

        effect = g a (network) + (1 - g) b (fallback),    g = sigmoid(w_0 + w_1 log(1 + support))

    The four numbers are fitted to perturbations that neither model was trained on, by least squares.

    Args:
        bias, slope: w_0 and w_1.
        network, fallback: amplitudes a and b.

    Example:
        >>> gate = EvidenceGate(bias=0.0, slope=0.0, network=1.0, fallback=1.0)
        >>> gate.mixed(np.ones((1, 2)), np.zeros((1, 2)), np.zeros(1)).tolist()
        [[0.5, 0.5]]
    """

    bias: float
    slope: float
    network: float
    fallback: float

    @classmethod
    def fit(
        cls,
        network: NDArray,
        fallback: NDArray,
        support: NDArray,
        truth: NDArray,
        weight: NDArray,
        *,
        prior: float = 1.0,
    ) -> "EvidenceGate":
        """Fit to held-out perturbations.

        Args:
            network, fallback, truth: (perturbations, genes) effects.
            support: (perturbations,).
            weight: (perturbations, genes) >= 0, such as what was measured.
            prior: pull towards w = 0, a = b = 1, in perturbations of the mean size: few perturbations move the gate
                less.
        """
        net, other, true, mask = (torch.as_tensor(np.asarray(x), dtype=torch.float64) for x in (
            network, fallback, truth, weight
        ))  # fmt: skip
        level = torch.as_tensor(np.log1p(support), dtype=torch.float64)
        size = (mask * true.square()).sum() / len(true) + 1e-12
        free = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float64, requires_grad=True)
        start = free.detach().clone()
        optimiser = torch.optim.LBFGS([free], max_iter=200, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            gate = torch.sigmoid(free[0] + free[1] * level)[:, None]
            mixed = gate * free[2] * net + (1 - gate) * free[3] * other
            error = (mask * (mixed - true).square()).sum() / size + prior * (free - start).square().sum()
            error.backward()
            return error

        optimiser.step(closure)  # type: ignore[arg-type]
        return cls(*map(float, free.detach()))

    def share(self, support: NDArray) -> NDArray[np.float64]:
        """(perturbations,) g, the network's share."""
        return 1.0 / (1.0 + np.exp(-(self.bias + self.slope * np.log1p(np.asarray(support, dtype=np.float64)))))

    def mixed(self, network: NDArray, fallback: NDArray, support: NDArray) -> NDArray[np.float64]:
        """(perturbations, genes) effects."""
        gate = self.share(support)[:, None]
        return gate * self.network * network + (1 - gate) * self.fallback * fallback

    def to_dict(self) -> dict[str, float]:
        """Plain numbers, for a file."""
        return asdict(self)
