"""A small model and its data, for tests of training."""

import torch
from torch import nn


class Net(nn.Module):
    """Two layers with dropout, so that training draws random numbers."""

    def __init__(self, seed: int = 0, dropout: float = 0.2) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.Dropout(dropout), nn.Linear(8, 1))
        self.register_buffer("rows", torch.tensor([7, 3]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)

    def loss(self, batch):
        error = (self(batch["x"]) - batch["y"]).square().mean()
        return {"loss": error, "root": error.sqrt()}


def samples(count: int, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 3, generator=generator)
    return [{"x": one, "y": one.sum(0, keepdim=True)} for one in x]


def batches(count: int, size: int = 4, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    loader = torch.utils.data.DataLoader(samples(count * size, seed), batch_size=size)  # type: ignore[arg-type]
    return list(loader)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)
