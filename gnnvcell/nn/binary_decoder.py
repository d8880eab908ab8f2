"""BinaryDecoder: how much a cell expresses a gene, from what is known of both."""

from collections.abc import Mapping

from jaxtyping import Float, Int
from torch import Tensor, nn

from gnnvcell.errors import ConfigError, ModelError, did_you_mean
from gnnvcell.nn.skip_block import SkipBlock

GENE_INPUT = "gene"


class BinaryDecoder(nn.Module):
    """One number for every pair of a cell and a gene.

    ``h_bg = W [gene_g ; cell_b ; ... ] + c``, then skip blocks, then ``x_bg = v . h_bg + v_0``

    The parts may have any width. W acts on the concatenation, and is held in one block for each part: what a gene adds
    to h is computed once for each gene and not for each pair, what a cell adds once for each cell, and the
    concatenations are never made.

    Args:
        widths: part to its width; "gene" is one of them, the others are of the cell, such as
            {"gene": 512, "cell": 512, "depth": 1, "dataset": 10}.
        hidden: width of h and of the skip blocks.
        blocks: number of skip blocks.

    Shapes: gene (genes, width), every other part (cells, width), which (cells, queried); result (cells, queried).

    Raises:
        ConfigError: no part "gene", no part of the cell, or a width that is not positive.
        ModelError: on ``forward``, parts that are missing, unknown or of another width.

    Example:
        >>> decoder = BinaryDecoder({"gene": 4, "cell": 6, "depth": 1}, hidden=8)
        >>> parts = {"cell": torch.rand(2, 6), "depth": torch.rand(2, 1)}
        >>> decoder(torch.rand(5, 4), torch.tensor([[0, 1, 4], [2, 2, 3]]), parts).shape
        torch.Size([2, 3])
    """

    def __init__(self, widths: Mapping[str, int], *, hidden: int, blocks: int = 2) -> None:
        super().__init__()
        self._widths = dict(widths)
        bad = {name: width for name, width in self._widths.items() if width < 1}
        if GENE_INPUT not in widths or len(widths) < 2 or bad or hidden < 1 or blocks < 0:
            raise ConfigError(
                "the decoder's parts are no gene and cell",
                expected=f"positive widths of {GENE_INPUT!r} and at least one part of the cell; hidden >= 1",
                found=f"{self._widths}, hidden={hidden}, blocks={blocks}",
            )
        # One bias for all parts: that of the gene.
        self.parts = nn.ModuleDict(
            {name: nn.Linear(width, hidden, bias=name == GENE_INPUT) for name, width in self._widths.items()}
        )
        total = sum(self._widths.values())
        for weight in self.parts.parameters():  # as one linear layer of the concatenation would start
            nn.init.uniform_(weight, -(total**-0.5), total**-0.5)
        self.blocks = nn.Sequential(*(SkipBlock(hidden) for _ in range(blocks)))
        self.out = nn.Linear(hidden, 1)

    def forward(
        self,
        genes: Float[Tensor, "genes gene_width"],
        which: Int[Tensor, "cells queried"],
        cell: Mapping[str, Float[Tensor, "cells _"]],
    ) -> Float[Tensor, "cells queried"]:
        """Decode some genes of every cell.

        Args:
            genes: vectors of the genes.
            which: rows of ``genes`` that are asked of each cell.
            cell: every other part.
        """
        self._require_parts(genes, cell)
        hidden = self.parts[GENE_INPUT](genes)[which]
        for name, given in cell.items():
            hidden = hidden + self.parts[name](given)[:, None]
        return self.out(self.blocks(hidden))[..., 0]

    def _require_parts(self, genes: Tensor, cell: Mapping[str, Tensor]) -> None:
        given = {GENE_INPUT: genes.shape[-1], **{name: part.shape[-1] for name, part in cell.items()}}
        if given == self._widths:
            return
        unknown = [name for name in given if name not in self._widths]
        raise ModelError(
            "the parts are not those that the decoder was made for",
            expected=str(self._widths),
            found=str(given),
            remedy=did_you_mean(unknown[0], self._widths) if unknown else "make the decoder with these widths",
        )
