"""EffectTable: what each perturbation did to each gene, as an AnnData whose obs are perturbations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.errors import DataError
from gnnvcell.files import atomic_path, require_file

EffectKind = Literal["de", "direction", "delta"]


class EffectTable:
    """Effects of perturbations on readout genes, with a mask of what was measured.

    Args:
        values: (perturbations, genes) float32. Kind "de": 1 where differentially expressed, else 0. "direction": 1 up,
            0 down. "delta": log1p expression minus control (natural log units). Ignored where not measured.
        measured: (perturbations, genes) bool.
        perturbations: (perturbations,) unique names, "A+B" for several targets.
        genes: (genes,) unique readout gene names.
        kind: what the values mean, one of ``EffectKind``.
        split: (perturbations,) "train", "val" or "test"; all "train" when left out.
        context: cell line or cell type, one for the table.

    Raises:
        DataError: shapes disagree, names repeat, a measured value is NaN, infinite or impossible for the kind.

    Example:
        >>> table = EffectTable([[1, 0]], [[True, True]], ["TP53"], ["CDKN1A", "ACTB"], kind="de")
        >>> table.shape
        (1, 2)
    """

    def __init__(
        self,
        values: NDArray | Sequence,
        measured: NDArray | Sequence,
        perturbations: Sequence[str] | NDArray,
        genes: Sequence[str] | NDArray,
        *,
        kind: str,
        split: Sequence[str] | NDArray | None = None,
        context: str = "",
    ) -> None:
        self.measured: NDArray[np.bool_] = np.asarray(measured, dtype=bool)
        self.values: NDArray[np.float32] = np.asarray(values, dtype=np.float32)
        self.perturbations: NDArray = np.asarray(perturbations, dtype=str)
        self.genes: NDArray = np.asarray(genes, dtype=str)
        self.split: NDArray = (
            np.full(len(self.perturbations), "train") if split is None else np.asarray(split, dtype=str)
        )
        self.kind = kind
        self.context = context
        self._check()

    def _check(self) -> None:
        shape = (len(self.perturbations), len(self.genes))
        if self.values.shape != shape or self.measured.shape != shape or len(self.split) != shape[0]:
            raise DataError(
                "an effect table's parts have different shapes",
                expected=f"values and mask {shape}, split ({shape[0]},)",
                found=f"values {self.values.shape}, mask {self.measured.shape}, split {self.split.shape}",
            )
        if self.kind not in get_args(EffectKind):
            raise DataError(f"unknown kind of effect {self.kind!r}", expected=", ".join(get_args(EffectKind)))
        for names, what in ((self.perturbations, "perturbation"), (self.genes, "gene")):
            unique, counts = np.unique(names, return_counts=True)
            if len(unique) != len(names):
                raise DataError(
                    f"{what} names repeat in an effect table",
                    found=f"{unique[counts > 1][0]!r} and {int((counts > 1).sum()) - 1} others",
                    remedy="merge the rows first",
                )
        observed = self.values[self.measured]
        if not np.isfinite(observed).all():
            raise DataError(
                f"{int((~np.isfinite(observed)).sum())} measured effects are NaN or infinite",
                remedy="mark them as not measured",
            )
        if self.kind != "delta" and not np.isin(observed, (0, 1)).all():
            raise DataError(
                f"labels of kind {self.kind!r} are 0 or 1", found=f"{observed[~np.isin(observed, (0, 1))][0]}"
            )
        # Unmeasured values are zeroed so that no stale number can reach a model.
        self.values = np.where(self.measured, self.values, np.float32(0))

    @property
    def shape(self) -> tuple[int, int]:
        """(perturbations, genes)."""
        return len(self.perturbations), len(self.genes)

    def __repr__(self) -> str:
        return (
            f"EffectTable({self.shape[0]} perturbations x {self.shape[1]} genes, kind={self.kind!r}, "
            f"{int(self.measured.sum()):,} measured, context={self.context!r})"
        )

    def take(self, rows: NDArray | Sequence) -> "EffectTable":
        """The perturbations at ``rows`` (indices or a mask); genes stay as they are."""
        rows = np.asarray(rows)
        return EffectTable(
            self.values[rows],
            self.measured[rows],
            self.perturbations[rows],
            self.genes,
            kind=self.kind,
            split=self.split[rows],
            context=self.context,
        )

    def of_split(self, *splits: str) -> "EffectTable":
        """The perturbations of one or more splits.

        Raises:
            DataError: no perturbation is in any of them.
        """
        rows = np.isin(self.split, splits)
        if not rows.any():
            raise DataError(
                f"no perturbation has split {' or '.join(splits)}", found=", ".join(sorted(set(self.split.tolist())))
            )
        return self.take(rows)

    def to_anndata(self) -> ad.AnnData:
        """AnnData: X the values (NaN where not measured), layer ``measured``, obs split and context, uns kind."""
        values = np.where(self.measured, self.values, np.float32(np.nan))
        obs = pd.DataFrame(
            {keys.SPLIT: self.split.astype(object), keys.CONTEXT: self.context}, index=self.perturbations.astype(object)
        )
        obs.index.name = keys.PERTURBATION
        var = pd.DataFrame(index=self.genes.astype(object))
        return ad.AnnData(
            values, obs=obs, var=var, layers={keys.MASK: self.measured}, uns={keys.EFFECT_KIND: self.kind}
        )

    @classmethod
    def from_anndata(cls, adata: ad.AnnData) -> "EffectTable":
        """The inverse of ``to_anndata``.

        Raises:
            DataError: the kind of effect is not in ``uns``, or the perturbations have several contexts.
        """
        if keys.EFFECT_KIND not in adata.uns:
            raise DataError(
                f"uns[{keys.EFFECT_KIND!r}] is missing",
                expected=", ".join(get_args(EffectKind)),
                found=str(list(adata.uns)),
            )
        values = np.asarray(adata.X, dtype=np.float32)
        measured = np.asarray(adata.layers[keys.MASK]) if keys.MASK in adata.layers else np.isfinite(values)
        contexts = sorted(set(adata.obs[keys.CONTEXT].astype(str))) if keys.CONTEXT in adata.obs else [""]
        if len(contexts) > 1:
            raise DataError("an effect table has one context", found=", ".join(contexts), remedy="split the AnnData")
        split = adata.obs[keys.SPLIT].astype(str).to_numpy() if keys.SPLIT in adata.obs else None
        return cls(
            values,
            measured,
            adata.obs_names.to_numpy(),
            adata.var_names.to_numpy(),
            kind=str(adata.uns[keys.EFFECT_KIND]),
            split=split,
            context=contexts[0],
        )

    def save(self, path: str | Path) -> Path:
        """Write as h5ad, whole or not at all."""
        with atomic_path(path) as temporary:
            self.to_anndata().write_h5ad(temporary)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> "EffectTable":
        """Read what ``save`` wrote.

        Raises:
            FileFormatError: missing or empty file.
            DataError: not an effect table.
        """
        return cls.from_anndata(ad.read_h5ad(require_file(path)))
