"""The decoder of pairs: equal to a linear layer of the concatenation followed by skip blocks."""

import pytest
import torch

from gnnvcell.errors import ConfigError, ModelError
from gnnvcell.nn.binary_decoder import BinaryDecoder
from gnnvcell.nn.skip_block import SkipBlock

WIDTHS = {"gene": 5, "cell": 7, "depth": 1, "dataset": 3}


def parts(seed: int = 0, cells: int = 4) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    genes = torch.randn(9, 5, generator=generator, dtype=torch.float64)
    which = torch.randint(9, (cells, 6), generator=generator)
    widths = [(name, width) for name, width in WIDTHS.items() if name != "gene"]
    cell = {name: torch.randn(cells, width, generator=generator, dtype=torch.float64) for name, width in widths}
    return genes, which, cell


def decoder() -> BinaryDecoder:
    torch.manual_seed(1)
    return BinaryDecoder(WIDTHS, hidden=11).double()


def test_skip_block_by_hand() -> None:
    block = SkipBlock(2).double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.fill_(0.5)
    x = torch.tensor([3.0, 1.0], dtype=torch.float64)
    normal = (x - 2) / (1 + 1e-5) ** 0.5 * 0.5 + 0.5
    inner = normal.sum() * 0.5 + 0.5
    expected = x + 0.5 * 2 * inner * inner.sigmoid() + 0.5
    torch.testing.assert_close(block(x), expected.expand(2))


def test_equals_the_concatenation() -> None:
    made, (genes, which, cell) = decoder(), parts()
    weight = torch.cat([made.get_parameter(f"parts.{name}.weight") for name in WIDTHS], dim=1)
    joined = torch.cat([genes[which], *(cell[n][:, None].expand(-1, 6, -1) for n in WIDTHS if n != "gene")], dim=-1)
    hidden = joined @ weight.t() + made.get_parameter("parts.gene.bias")
    torch.testing.assert_close(made(genes, which, cell), made.out(made.blocks(hidden))[..., 0])


def test_every_parameter_gets_a_gradient() -> None:
    made = decoder()
    made(*parts()).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in made.parameters())


def test_bad_parts() -> None:
    genes, which, cell = parts()
    with pytest.raises(ModelError, match="did you mean 'depth'"):
        decoder()(genes, which, {"cell": cell["cell"], "depht": cell["depth"], "dataset": cell["dataset"]})
    with pytest.raises(ModelError, match="make the decoder with these widths"):
        decoder()(genes[:, :4], which, cell)
    with pytest.raises(ConfigError, match="no gene and cell"):
        BinaryDecoder({"cell": 3}, hidden=4)
