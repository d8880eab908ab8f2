"""The state embedding on a CUDA device gives what the CPU gives, while DGL's graph stays on the host."""

import pytest
import torch

from gnnvcell.models.state_embedding import embed_cells

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


@pytest.mark.parametrize("loss", ["energy", "mse", "wasserstein", "mmd", "cross_entropy"])
def test_losses_and_gradients(kit, batch, loss) -> None:
    host, device = kit.network(loss=loss), kit.network(loss=loss).cuda()
    expected = host.loss(batch)
    found = device.loss({name: part.cuda() for name, part in batch.items()})
    for name, value in expected.items():
        torch.testing.assert_close(found[name].cpu(), value, rtol=1e-3, atol=1e-4)
    expected["loss"].backward()
    found["loss"].backward()
    for (name, one), other in zip(host.named_parameters(), device.parameters(), strict=True):
        torch.testing.assert_close(other.grad.cpu(), one.grad, rtol=1e-2, atol=1e-3, msg=name)  # pyright: ignore


def test_embeddings_and_graph_consistency(kit, batch) -> None:
    host, device = kit.network(graph_consistency={}), kit.network(graph_consistency={}).cuda()
    expected = torch.from_numpy(embed_cells(host, kit.adata(), progress=False))
    found = torch.from_numpy(embed_cells(device, kit.adata(), progress=False))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    on_host, on_device = host.loss(batch), device.loss({name: part.cuda() for name, part in batch.items()})
    torch.testing.assert_close(on_device["graph"].cpu(), on_host["graph"], rtol=1e-3, atol=1e-4)
