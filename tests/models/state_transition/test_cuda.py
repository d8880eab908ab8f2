"""State transition on a CUDA device gives what the CPU gives, while DGL's graph stays on the host."""

import copy

import numpy as np
import pytest
import torch

from gnnvcell.models.state_transition.predictor import TransitionPredictor

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]
ALL = {"encoders": ("onehot", "esm", "graph", "field"), "confidence": True}
# Devices draw other random numbers, so nothing may be drawn.
NO_DRAWS = {"hide_targets": 0.0, "dropout": 0.0}


@pytest.mark.parametrize("settings", [ALL, {"encoders": ("graph",), "decoder": "named"}], ids=["all", "named"])
@pytest.mark.parametrize("loss", ["energy", "sinkhorn", "mmd", "mse_of_means"])
def test_losses_gradients_and_predictions(make, cells, settings, loss) -> None:
    model = make(**settings, **NO_DRAWS, loss={"name": loss})
    parts = model._assembled(cells, model._graph, 0, False)
    host = parts.network()
    device = copy.deepcopy(host).cuda()
    model._predictor = TransitionPredictor(host, parts)
    batch = model.loader(cells).batch(0)
    expected, found = host.loss(batch), device.loss({name: part.to("cuda") for name, part in batch.items()})
    for name, value in expected.items():
        torch.testing.assert_close(found[name].cpu(), value, rtol=1e-3, atol=1e-4)
    expected["loss"].backward()
    found["loss"].backward()
    for (name, one), other in zip(host.named_parameters(), device.parameters(), strict=True):
        if one.grad is not None:
            assert other.grad is not None, name
            torch.testing.assert_close(
                other.grad.cpu(), one.grad, rtol=1e-2, atol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
            )
    by_host = model.predict(["P1", "P2+P5"])
    model._predictor = TransitionPredictor(device.eval(), parts)
    np.testing.assert_allclose(model.predict(["P1", "P2+P5"]).values, by_host.values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_training_on_the_device(make, cells, precision) -> None:
    runs = {}
    for accelerator in ("cpu", "gpu"):
        training = {"max_steps": 20, "val_every": 10, "loggers": [], "accelerator": accelerator}
        model = make(encoders=("graph", "field"), **NO_DRAWS, training={**training, "precision": precision})
        runs[accelerator] = model.fit(cells)
    tolerance = 0.01 if precision == "32-true" else 0.1
    assert runs["gpu"].result.best_score == pytest.approx(runs["cpu"].result.best_score, rel=tolerance)
    values = [runs[name].predict(["P1", "P3"]).values for name in ("cpu", "gpu")]
    np.testing.assert_allclose(values[1], values[0], atol=tolerance)
