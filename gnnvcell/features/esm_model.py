"""ESM protein language models of fair-esm: loading their weights without running anything stored in them."""

import argparse
import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnvcell.errors import ConfigError, DownloadError, FileFormatError, did_you_mean
from gnnvcell.features.fasta import AMINO_ACIDS
from gnnvcell.files import require_file, sha256_of

# Where fair-esm's own loader (esm.pretrained) downloads from.
URL = "https://dl.fbaipublicfiles.com/fair-esm/models/{name}.pt"
MODELS = (
    "esm2_t6_8M_UR50D",
    "esm2_t12_35M_UR50D",
    "esm2_t30_150M_UR50D",
    "esm2_t33_650M_UR50D",
    "esm2_t36_3B_UR50D",
    "esm2_t48_15B_UR50D",
    "esm1b_t33_650M_UR50S",
    *(f"esm1v_t33_650M_UR90S_{member}" for member in range(1, 6)),
)
_LETTERS = AMINO_ACIDS + "BOUXZ"  # the residues that ESM has tokens for
_AGAIN = "download it again; is it a checkpoint of fair-esm, such as esm2_t33_650M_UR50D.pt?"
_MISFIT = (RuntimeError, AttributeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True, eq=False)
class EsmModel:
    """A protein language model that is ready to embed.

    Args:
        name: its name, or that of the checkpoint's file.
        sha256: hex digest of the checkpoint.
        module: fair-esm's module, in evaluation mode.
        tokens: (256,) token of each letter's byte, -1 where there is none.
        alphabet: fair-esm's alphabet, for its special tokens.
        layers: number of layers.
        width: of an embedding.
        most_residues: longest sequence that the model can read; 0 where there is no limit.
    """

    name: str
    sha256: str
    module: torch.nn.Module
    tokens: NDArray[np.int64]
    alphabet: Any
    layers: int
    width: int
    most_residues: int

    @property
    def special_tokens(self) -> int:
        """Tokens that are put around each sequence."""
        return int(self.alphabet.prepend_bos) + int(self.alphabet.append_eos)

    @torch.inference_mode()
    def embed(self, sequences: list[str], layer: int) -> list[Tensor]:
        """(residues, width) float32 embeddings of each sequence's residues after a layer, on the model's device."""
        before = int(self.alphabet.prepend_bos)
        longest = max(map(len, sequences))
        batch = np.full((len(sequences), longest + self.special_tokens), self.alphabet.padding_idx, dtype=np.int64)
        for row, sequence in enumerate(sequences):
            batch[row, before : before + len(sequence)] = self.tokens[np.frombuffer(sequence.encode(), dtype=np.uint8)]
            if self.alphabet.append_eos:
                batch[row, before + len(sequence)] = self.alphabet.eos_idx
        if before:
            batch[:, 0] = self.alphabet.cls_idx
        device = next(self.module.parameters()).device
        result = self.module(torch.from_numpy(batch).to(device), repr_layers=[layer])["representations"][layer]
        return [result[row, before : before + len(sequence)].float() for row, sequence in enumerate(sequences)]


def load_esm(name: str | None = None, checkpoint: str | Path | None = None, *, device: str = "cpu") -> EsmModel:
    """Load a model by its name or from a checkpoint file.

    By name, the checkpoint is taken from torch's hub folder, where fair-esm keeps it too, and downloaded there if it is
    not. It is read with ``weights_only=True``, ``argparse.Namespace`` being the only class that is let in. The weights
    of the contact head are not needed and not fetched.

    Args:
        name: one of ``MODELS``; with a checkpoint, what it must be (None: any).
        checkpoint: a file in fair-esm's format.
        device: such as "cpu" or "cuda".

    Raises:
        ConfigError: an unknown name, neither name nor file, a checkpoint of another model, or no such device.
        DownloadError: the weights are not there and cannot be downloaded.
        FileFormatError: a missing or damaged file, or no checkpoint of ESM-2, ESM-1b or ESM-1v.
    """
    if name is not None and name not in MODELS:
        raise ConfigError(f"unknown protein language model {name!r}", remedy=did_you_mean(name, MODELS))
    if checkpoint is None and name is None:
        raise ConfigError("neither a model's name nor a checkpoint is given", expected=" ".join(MODELS))
    target = _device(device)
    path = require_file(checkpoint) if checkpoint is not None else _downloaded(str(name))
    content = _read(path)
    module, alphabet = _build(path, content)
    layers = int(module.num_layers)
    generation = "ESM-2" if "cfg" in content else "ESM-1"
    if name is not None and (f"_t{layers}_" not in name or name.startswith("esm2") != (generation == "ESM-2")):
        raise ConfigError(
            f"{path} is not {name}",
            found=f"{generation} of {layers} layers",
            remedy="give the model that the checkpoint is of, or leave the name out",
        )
    module = module.eval().requires_grad_(False).to(target)
    return EsmModel(
        name or path.stem, sha256_of(path), module, _tokens(alphabet), alphabet, layers, _width(module), _limit(module)
    )


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"the device {name!r} cannot be used here", expected="cpu, or cuda with a GPU", found=str(error)[:200]
        ) from error
    return device


def _downloaded(name: str) -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / f"{name}.pt"
    if path.exists():
        return require_file(path)
    url = URL.format(name=name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path))  # to a temporary name first
    except (URLError, OSError, RuntimeError) as error:
        raise DownloadError(
            f"the weights of {name} are not at {path} and cannot be downloaded",
            expected=url,
            found=str(error),
            remedy=f"download that file elsewhere and put it there, or name it: --checkpoint {name}.pt",
        ) from error
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = str(error).splitlines()[0][:200]
        raise FileFormatError(
            f"{path} holds Python objects, which are never unpickled, or is damaged", found=found, remedy=_AGAIN
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError) as error:
        found = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise FileFormatError(
            f"{path} is no torch file, or is damaged or cut off", found=found, remedy=_AGAIN
        ) from error
    if not isinstance(loaded, dict) or "model" not in loaded or not {"cfg", "args"} & loaded.keys():
        found = f"a dict of {', '.join(map(str, list(loaded)[:5]))}" if isinstance(loaded, dict) else str(type(loaded))
        raise FileFormatError(
            f"{path} is not a checkpoint of fair-esm", expected="a dict of model and cfg (or args)", found=found
        )
    return loaded


def _build(path: Path, content: dict[str, Any]) -> tuple[Any, Any]:
    import esm.pretrained  # slow to import

    # fair-esm tells its two generations apart by the name; the content says it too.
    kind = "esm2" if "cfg" in content else "esm1v"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Regression weights not found")  # contacts are not predicted
            return esm.pretrained.load_model_and_alphabet_core(kind, content, None)
    except _MISFIT as error:
        raise FileFormatError(
            f"{path} does not hold the weights of a model that fair-esm can build",
            expected="ESM-2, ESM-1b or ESM-1v",
            found=f"{type(error).__name__}: {error}"[:300],
            remedy=_AGAIN,
        ) from error


def _tokens(alphabet: Any) -> NDArray[np.int64]:
    tokens = np.full(256, -1, dtype=np.int64)
    for letter in _LETTERS:
        tokens[ord(letter)] = alphabet.tok_to_idx[letter]
    return tokens


def _width(module: Any) -> int:
    return int(module.embed_tokens.weight.shape[1])


def _limit(module: Any) -> int:
    """ESM-1 learned its positions, ESM-2 turns queries and keys by them."""
    positions = getattr(getattr(module, "embed_positions", None), "max_positions", 0)
    return max(int(positions) - 2, 0)
