"""PathwayLayer: tokens of genes become tokens of pathways, by gene sets that may grow."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from gnnvcell.errors import ConfigError


class PathwayLayer(nn.Module):
    """A learned weight of every gene in every pathway, begun at the gene sets::

        y_p = sum_g W_pg x_g,    W_pg = 1 / sqrt(n_p) for the n_p genes of pathway p, and 0 for others, at the start

    Entries outside the sets are parameters like the others: a gene joins a pathway where the data asks for it, against
    ``penalty``, the mean of |W_pg| over entries outside. ``back`` carries tokens of pathways to genes with the same
    weights. A gene without a pathway is in none, until it learns to be.

    Args:
        members: (genes, pathways) True where a gene is in a set.

    Shapes: x (..., genes, d); result (..., pathways, d).

    Raises:
        ConfigError: no pathways, or one without genes.

    Example:
        >>> layer = PathwayLayer(torch.tensor([[True, False], [True, True]]))
        >>> layer(torch.ones(1, 2, 3)).shape
        torch.Size([1, 2, 3])
    """

    members: Tensor

    def __init__(self, members: Bool[Tensor, "genes pathways"]) -> None:
        super().__init__()
        size = members.sum(dim=0)
        if not len(size) or not bool(size.all()):
            raise ConfigError(
                "a pathway layer needs pathways that each have a gene",
                found=f"{len(size)} pathways, {int((size == 0).sum())} of them empty",
                remedy="leave empty ones out",
            )
        self.register_buffer("members", members.T.contiguous(), persistent=False)
        self.weight = nn.Parameter(self.members / size.sqrt()[:, None])

    def forward(self, x: Float[Tensor, "*batch genes d"]) -> Float[Tensor, "*batch pathways d"]:
        """Tokens of pathways."""
        return self.weight @ x

    def back(self, y: Float[Tensor, "*batch pathways d"]) -> Float[Tensor, "*batch genes d"]:
        """Tokens of genes, ``sum_p W_pg y_p``."""
        return self.weight.T @ y

    def penalty(self) -> Float[Tensor, ""]:
        """Mean absolute weight of genes outside of their pathways' sets; 0 where every gene is in all."""
        outside = ~self.members
        return (self.weight.abs() * outside).sum() / outside.sum().clamp_min(1)

    def grown(self, threshold: float) -> Bool[Tensor, "genes pathways"]:
        """Genes that joined a pathway: outside of its set, with a weight above a share of its members' mean.

        Args:
            threshold: the share, > 0.
        """
        size = self.weight.detach().abs()
        inside = (size * self.members).sum(dim=1) / self.members.sum(dim=1)
        return ((size > threshold * inside[:, None]) & ~self.members).T
