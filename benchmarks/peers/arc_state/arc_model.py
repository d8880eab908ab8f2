"""arc-state's ST, built from its class with the arguments that its ``state tx train`` gives it."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from protocol import CONTROL, toml_file  # pyright: ignore[reportMissingImports]
from shape import BATCHES, Shape  # pyright: ignore[reportMissingImports]
from torch import Tensor

DECODER = (1024, 1024, 512)  # its defaults, as all that is not of the shape


def arc_model(shape: Shape, *, output_space: str) -> Any:
    """A ``StateTransitionPerturbationModel``.

    Args:
        shape: widths, depth and sizes.
        output_space: "gene": the network's own output is scored; "all", the default of its data module: that output
            goes through ``output_dim // 8`` and a gene decoder is trained beside it.
    """
    from state.tx.models.state_transition import (  # pyright: ignore[reportMissingImports]
        StateTransitionPerturbationModel,
    )

    backbone = {
        "bidirectional_attention": True,
        "max_position_embeddings": shape.set_size,
        "hidden_size": shape.hidden,
        "intermediate_size": 4 * shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.hidden // shape.heads,
        "use_cache": False,
        "attention_dropout": 0.0,
        "hidden_dropout": 0.0,
        "layer_norm_eps": 1e-6,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "rotary_dim": 0,
        "use_rotary_embeddings": False,
    }
    decoder = {"latent_dim": shape.genes, "gene_dim": shape.genes, "hidden_dims": list(DECODER), "dropout": 0.1}
    with contextlib.redirect_stdout(io.StringIO()):  # it prints itself
        model = StateTransitionPerturbationModel(
            input_dim=shape.genes,
            output_dim=shape.genes,
            gene_dim=shape.genes,
            hvg_dim=shape.genes,
            pert_dim=shape.perturbations,
            batch_dim=BATCHES,
            hidden_dim=shape.hidden,
            cell_set_len=shape.set_size,
            transformer_backbone_key="llama",
            transformer_backbone_kwargs=backbone,
            output_space=output_space,
            embed_key="X_hvg",
            basal_mapping_strategy="batch",
            n_encoder_layers=1,
            n_decoder_layers=1,
            predict_residual=True,
            softplus=True,
            loss="energy",
            distributional_loss="energy",
            blur=0.05,
            batch_encoder=True,
            decoder_cfg={**decoder, "residual_decoder": False},
            lr=1e-4,
        )
    model.log = lambda *arguments, **keywords: None  # no trainer
    return model


def arc_batch(
    shape: Shape, control: Tensor, perturbed: Tensor, perturbation: Tensor, batch: Tensor, *, output_space: str
) -> dict[str, Tensor]:
    """Sets as its loader lays them out: one row a cell, the perturbation's one-hot code with each."""
    rows = perturbation.repeat_interleave(shape.set_size)
    found = {
        "pert_emb": torch.eye(shape.perturbations)[rows],
        "ctrl_cell_emb": control.flatten(0, 1),
        "pert_cell_emb": perturbed.flatten(0, 1),
        "batch": torch.eye(BATCHES)[batch.repeat_interleave(shape.set_size)],
    }
    if output_space == "all":
        found["pert_cell_counts"] = found["pert_cell_emb"].clone()
    return found


def arc_loader(shape: Shape, folder: Path, *, output_space: str) -> Iterator[dict[str, Any]]:
    """Training batches of the first fold without an end, through the loader and the options of run.py.

    One-hot codes are made as wide as the model's: the data have their own number of perturbations and batches.
    """
    from cell_load.data_modules import PerturbationDataModule  # pyright: ignore[reportMissingImports]

    module: Any = PerturbationDataModule(
        str(toml_file(folder, 0)),
        batch_size=shape.sets,
        num_workers=0,
        pert_col="target_gene",
        batch_col="batch",
        cell_type_key="cell_type",
        control_pert=CONTROL,
        embed_key="X_hvg",
        output_space=output_space,
        basal_mapping_strategy="batch",
        cell_sentence_len=shape.set_size,
        barcode=True,
    )
    module.setup()
    while True:
        for batch in module.train_dataloader():
            for name, width in (("pert_emb", shape.perturbations), ("batch", BATCHES)):
                batch[name] = torch.nn.functional.pad(batch[name], (0, width - batch[name].shape[1]))
            yield batch
