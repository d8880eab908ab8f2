"""Training on a CUDA device: sharded weights, mixed precision, and what the CPU learns."""

import pytest
import torch

from gnnvcell.fitting import FitConfig, OptimizerConfig, fit

from .models import Net, batches

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


def learned(tmp_path, name: str, **settings) -> tuple[Net, float]:
    model = Net(dropout=0)
    config = FitConfig(
        max_steps=20, val_every=10, loggers=("csv",), optimizer=OptimizerConfig(lr=0.02), **settings
    )  # fmt: skip
    result = fit(model, batches(5), batches(2, seed=1), config=config, out_dir=tmp_path / name, progress=False)
    assert result.best_score is not None
    return model.cpu(), result.best_score


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [({}, 1e-4), ({"strategy": "fsdp"}, 1e-4), ({"precision": "bf16-mixed"}, 0.1), ({"ema": 0.5}, None)],
    ids=["plain", "fsdp", "bf16", "ema"],
)
def test_a_gpu_learns_what_the_cpu_learns(tmp_path, settings, tolerance) -> None:
    by_cpu, score = learned(tmp_path, "cpu", accelerator="cpu", **({} if tolerance is not None else settings))
    by_gpu, found = learned(tmp_path, "gpu", accelerator="gpu", **settings)
    assert found == pytest.approx(score, rel=tolerance or 1e-4)
    for name, value in by_cpu.state_dict().items():
        torch.testing.assert_close(by_gpu.state_dict()[name], value, rtol=tolerance or 1e-3, atol=tolerance or 1e-3)
