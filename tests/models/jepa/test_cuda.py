"""JEPA on a CUDA device gives what the CPU gives, while DGL's graph stays on the host."""

import pytest
import torch
from torch import Tensor

from gnnvcell.nn.perturbation_batch import PerturbationBatch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


def moved(batch: dict) -> dict:
    return {k: v.to("cuda") if isinstance(v, Tensor | PerturbationBatch) else v for k, v in batch.items()}


@pytest.mark.parametrize("version", ["v0.2", "v0.3", "graph"])
@pytest.mark.parametrize("stage", ["action", "decode"])
def test_losses_and_gradients(make, batch, version, stage) -> None:
    given = batch()
    host, device = (make(version, hide_targets=0.0).to(where) for where in ("cpu", "cuda"))
    device.load_state_dict(host.state_dict())
    for network in (host, device):
        network.set_stage(stage)
        network.train()
    expected, found = host.loss(given), device.loss(moved(given))
    for name, value in expected.items():
        torch.testing.assert_close(found[name].cpu(), value, rtol=1e-3, atol=1e-4)
    expected["loss"].backward()
    found["loss"].backward()
    for (name, one), other in zip(host.named_parameters(), device.parameters(), strict=True):
        if one.grad is not None:
            assert other.grad is not None, name
            torch.testing.assert_close(
                other.grad.cpu(), one.grad, rtol=2e-2, atol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
            )
    for name, value in host.monitors(given).items():
        torch.testing.assert_close(device.monitors(moved(given))[name].cpu(), value, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("version", ["v0.2", "v0.3", "graph"])
def test_all_stages_train_in_bfloat16(make, batch, version) -> None:
    network = make(version).cuda()
    for stage in ("pretrain", "action", "decode"):
        network.set_stage(stage)
        network.train()
        optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-3)
        for number in range(3):
            with torch.autocast("cuda", dtype=torch.bfloat16):
                loss = network.loss(moved(batch(seed=number)))["loss"]
            assert torch.isfinite(loss)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            network.after_step()


def test_search_between_perturbations(make, batch) -> None:
    network, given = make("graph").cuda().eval(), moved(batch())
    network.set_stage("action")
    gallery = network.action.gallery(given["conditions"], given["field"])
    cells = given["control"][0]
    vectors = gallery.vectors.detach().clone().requires_grad_()
    latents = network.encode(cells, given["control_log_total"][0])
    effects = network.effects_of_actions(vectors, gallery, latents, cells)
    effects.square().sum().backward()
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()
