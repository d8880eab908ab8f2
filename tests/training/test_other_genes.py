"""A run that begins with the weights of another one: other genes, other perturbations, other batches."""

import anndata as ad
import numpy as np
import pytest
import torch

from gnnvcell.fitting import init_from, read_checkpoint
from gnnvcell.models.state_transition import StateTransition, StateTransitionConfig

from .conftest import GENES, QUICK_FIT, QUICK_MODEL, TARGETS, screen


def fitted(adata: ad.AnnData, folder=None, **settings) -> StateTransition:
    training = {**QUICK_FIT, "loggers": (), "patience": None}
    config = StateTransitionConfig.parse({**QUICK_MODEL, "training": training, "validation": 0.3, **settings})
    return StateTransition(config).fit(adata, out_dir=folder)


@pytest.mark.parametrize("settings", [{}, {"decoder_layers": 2, "cell_encoder_layers": 2, "input_genes": 12}])
def test_weights_are_matched_by_name(tmp_path, settings) -> None:
    first = fitted(screen("a", 0), tmp_path / "run", **settings)
    others = [*TARGETS[3:], "N0", "N1"]
    renamed = screen("a", 1, targets=others, genes=[*GENES[3:], "N0", "N1", "N2"])
    second = fitted(renamed, **settings)
    report = init_from(second.network, tmp_path / "run" / "checkpoints" / "best.ckpt")
    weights = read_checkpoint(tmp_path / "run" / "checkpoints" / "best.ckpt")["state_dict"]
    old_rows, new_rows = first.network.named_rows(), second.network.named_rows()
    for name, own in new_rows.items():
        value = dict(second.network.named_parameters())[name]
        shared = [row for row in own if row in old_rows[name]]
        here, there = ([rows.index(row) for row in shared] for rows in (own, old_rows[name]))
        assert shared
        torch.testing.assert_close(value[here], weights[f"model.{name}"][there])
        if name.startswith("decoder"):
            assert report.partly[name] == (17, 20)
    column = "cell_encoder.0.weight"
    own, other = second.network.named_columns()[column], first.network.named_columns()[column]
    here, there = zip(*[(own.index(gene), other.index(gene)) for gene in own if gene in other], strict=True)
    value = dict(second.network.named_parameters())[column]
    torch.testing.assert_close(value[:, list(here)], weights[f"model.{column}"][:, list(there)])
    assert not report.left
    assert all(name in report.taken for name in weights if name.startswith("transformer"))
    assert np.isfinite(second.predict(["N1"]).values).all()
