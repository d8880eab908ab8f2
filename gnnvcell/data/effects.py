"""EffectTable: what each perturbation did to each gene, as an AnnData whose obs are perturbations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.errors import DataError, did_you_mean
from gnnvcell.files import atomic_path, require_file

EffectKind = Literal["de", "direction", "delta"]


@dataclass(frozen=True, eq=False)
class Context:
    """A cell type or cell line, as a model sees it.

    Args:
        name: of the cell type.
        control: (genes,) float32 mean log1p expression of its control cells, in the order of the table's genes; NaN
            where a gene was not measured; None where nothing is known.
    """

    name: str = ""
    control: NDArray[np.float32] | None = None


class EffectTable:
    """Effects of perturbations on readout genes, with a mask of what was measured.

    Args:
        values: (perturbations, genes) float32. Kind "de": 1 where differentially expressed, else 0. "direction": 1 up,
            0 down. "delta": log1p expression minus control (natural log units). Ignored where not measured.
        measured: (perturbations, genes) bool.
        perturbations: (perturbations,) names, "A+B" for several targets; unique within a context.
        genes: (genes,) unique readout gene names.
        kind: what the values mean, one of ``EffectKind``.
        split: (perturbations,) "train", "val" or "test"; all "train" when left out.
        context: cell line or cell type, one for the table or one for each row.
        control: context to the (genes,) mean log1p expression of its control cells; NaN where a gene was not measured.
        cells: (perturbations,) number of cells that each row is the mean of; None where it is not known.

    Raises:
        DataError: shapes disagree, names repeat, a measured value is NaN, infinite or impossible for the kind, or the
            control expression is of a context that no row has.

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
        context: str | Sequence[str] | NDArray = "",
        control: Mapping[str, NDArray] | None = None,
        cells: Sequence[int] | NDArray | None = None,
    ) -> None:
        self.measured: NDArray[np.bool_] = np.asarray(measured, dtype=bool)
        self.values: NDArray[np.float32] = np.asarray(values, dtype=np.float32)
        self.perturbations: NDArray = np.asarray(perturbations, dtype=str)
        self.genes: NDArray = np.asarray(genes, dtype=str)
        self.split: NDArray = (
            np.full(len(self.perturbations), "train") if split is None else np.asarray(split, dtype=str)
        )
        self.kind = kind
        contexts = np.asarray(context, dtype=str)
        self.contexts: NDArray = np.full(len(self.perturbations), context) if contexts.ndim == 0 else contexts
        self.control: dict[str, NDArray[np.float32]] = {
            str(name): np.asarray(means, dtype=np.float32) for name, means in (control or {}).items()
        }
        self.cells: NDArray[np.int64] | None = None if cells is None else np.asarray(cells, dtype=np.int64)
        self._check()

    def _check(self) -> None:
        shape = (len(self.perturbations), len(self.genes))
        of_rows = (self.split.shape, self.contexts.shape, *(() if self.cells is None else (self.cells.shape,)))
        if self.values.shape != shape or self.measured.shape != shape or set(of_rows) != {shape[:1]}:
            raise DataError(
                "an effect table's parts have different shapes",
                expected=f"values and mask {shape}, split, context and cells ({shape[0]},)",
                found=f"values {self.values.shape}, mask {self.measured.shape}, split, context and cells {of_rows}",
            )
        if self.kind not in get_args(EffectKind):
            raise DataError(f"unknown kind of effect {self.kind!r}", expected=", ".join(get_args(EffectKind)))
        rows = np.char.add(np.char.add(self.perturbations, "\n"), self.contexts)
        for names, what in ((rows, "perturbation"), (self.genes, "gene")):
            unique, counts = np.unique(names, return_counts=True)
            if len(unique) != len(names):
                raise DataError(
                    f"{what} names repeat in an effect table",
                    found=f"{str(unique[counts > 1][0]).split(chr(10))[0]!r} and {int((counts > 1).sum()) - 1} others",
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
        for name, means in self.control.items():
            if name not in self.contexts or means.shape != self.genes.shape or np.isinf(means).any():
                raise DataError(
                    f"the control expression of {name!r} does not fit the table",
                    expected=f"one number for each of {len(self.genes)} genes, and rows of that context",
                    found=f"shape {means.shape}; contexts {', '.join(sorted(set(self.contexts.tolist()))[:5])}",
                )
        # Unmeasured values are zeroed so that no stale number can reach a model.
        self.values = np.where(self.measured, self.values, np.float32(0))

    @property
    def shape(self) -> tuple[int, int]:
        """(perturbations, genes)."""
        return len(self.perturbations), len(self.genes)

    @property
    def context_names(self) -> list[str]:
        """The contexts of the rows, each once, in alphabetical order."""
        return sorted(set(self.contexts.tolist()))

    @property
    def context(self) -> str:
        """The one context of all rows.

        Raises:
            DataError: there are several.
        """
        names = self.context_names
        if len(names) != 1:
            raise DataError("the effect table has several contexts", found=", ".join(names[:5]), remedy="of_context()")
        return names[0]

    def context_of(self, name: str) -> Context:
        """A context with its control expression, where the table has it.

        Raises:
            DataError: no row has it.
        """
        if name not in self.context_names:
            raise DataError(f"no row has the context {name!r}", remedy=did_you_mean(name, self.context_names))
        return Context(name, self.control.get(name))

    def __repr__(self) -> str:
        contexts = ", ".join(map(repr, self.context_names))
        return (
            f"EffectTable({self.shape[0]} perturbations x {self.shape[1]} genes, kind={self.kind!r}, "
            f"{int(self.measured.sum()):,} measured, context={contexts})"
        )

    def take(self, rows: NDArray | Sequence) -> "EffectTable":
        """The perturbations at ``rows`` (indices or a mask); genes stay as they are."""
        rows = np.asarray(rows)
        left = set(self.contexts[rows].tolist())
        return EffectTable(
            self.values[rows],
            self.measured[rows],
            self.perturbations[rows],
            self.genes,
            kind=self.kind,
            split=self.split[rows],
            context=self.contexts[rows],
            control={name: means for name, means in self.control.items() if name in left},
            cells=None if self.cells is None else self.cells[rows],
        )

    def take_genes(self, columns: NDArray | Sequence) -> "EffectTable":
        """The genes at ``columns`` (indices or a mask), in that order; perturbations stay as they are."""
        columns = np.asarray(columns)
        return EffectTable(
            self.values[:, columns],
            self.measured[:, columns],
            self.perturbations,
            self.genes[columns],
            kind=self.kind,
            split=self.split,
            context=self.contexts,
            control={name: means[columns] for name, means in self.control.items()},
            cells=self.cells,
        )

    def of_context(self, *names: str) -> "EffectTable":
        """The rows of one or more contexts.

        Raises:
            DataError: no row has one of them.
        """
        for name in names:
            self.context_of(name)
        return self.take(np.isin(self.contexts, names))

    @classmethod
    def joined(cls, tables: Sequence["EffectTable"]) -> "EffectTable":
        """One table of the rows of several, over the genes of all; what a table lacks is not measured.

        Raises:
            DataError: no table, different kinds, or a perturbation that is in two tables in the same context.
        """
        if len({table.kind for table in tables}) != 1:
            kinds = ", ".join(sorted({table.kind for table in tables})) or "no table"
            raise DataError("only effects of one kind can be joined", found=kinds)
        genes = np.array(list(dict.fromkeys(str(gene) for table in tables for gene in table.genes)))
        place = {gene: at for at, gene in enumerate(genes.tolist())}
        columns = [np.array([place[str(gene)] for gene in table.genes]) for table in tables]
        shape = (sum(table.shape[0] for table in tables), len(genes))
        values, measured = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=bool)
        control: dict[str, NDArray] = {}
        start = 0
        for table, at in zip(tables, columns, strict=True):
            rows = slice(start, start := start + table.shape[0])
            values[rows, at], measured[rows, at] = table.values, table.measured
            for name, means in table.control.items():
                control.setdefault(name, np.full(len(genes), np.nan, dtype=np.float32))[at] = means
        perturbations, split, contexts = (
            np.concatenate([getattr(table, field) for table in tables])
            for field in ("perturbations", "split", "contexts")
        )
        counts = [table.cells for table in tables]
        return cls(
            values,
            measured,
            perturbations,
            genes,
            kind=tables[0].kind,
            split=split,
            context=contexts,
            control=control,
            cells=None if any(count is None for count in counts) else np.concatenate(counts),  # type: ignore[arg-type]
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
        """AnnData: X the values (NaN where not measured), layer ``measured``, obs perturbation, split, context (and
        cells, where they are known), uns kind; control expression in varm, its contexts in uns.
        """
        values = np.where(self.measured, self.values, np.float32(np.nan))
        several = len(self.context_names) > 1
        index = [f"{p}@{c}" if several else p for p, c in zip(self.perturbations, self.contexts, strict=True)]
        columns = {keys.PERTURBATION: self.perturbations, keys.SPLIT: self.split, keys.CONTEXT: self.contexts}
        obs = pd.DataFrame({name: column.astype(object) for name, column in columns.items()}, index=pd.Index(index))
        if self.cells is not None:
            obs[keys.CELLS] = self.cells
        adata = ad.AnnData(
            values,
            obs=obs,
            var=pd.DataFrame(index=self.genes.astype(object)),
            layers={keys.MASK: self.measured},
            uns={keys.EFFECT_KIND: self.kind},
        )
        if self.control:
            adata.varm[keys.CONTROL_EXPRESSION] = np.stack(list(self.control.values()), axis=1)
            adata.uns[keys.CONTROL_CONTEXTS] = np.array(list(self.control), dtype=object)
        return adata

    @classmethod
    def from_anndata(cls, adata: ad.AnnData) -> "EffectTable":
        """The inverse of ``to_anndata``.

        Raises:
            DataError: the kind of effect is not in ``uns``.
        """
        if keys.EFFECT_KIND not in adata.uns:
            raise DataError(
                f"uns[{keys.EFFECT_KIND!r}] is missing",
                expected=", ".join(get_args(EffectKind)),
                found=str(list(adata.uns)),
            )
        values = np.asarray(adata.X, dtype=np.float32)
        obs = adata.obs
        texts = {name: obs[name].astype(str).to_numpy() for name in (keys.SPLIT, keys.CONTEXT) if name in obs}
        names = obs[keys.PERTURBATION].astype(str) if keys.PERTURBATION in obs else adata.obs_names
        contexts = [str(name) for name in adata.uns.get(keys.CONTROL_CONTEXTS, [])]
        return cls(
            values,
            np.asarray(adata.layers[keys.MASK]) if keys.MASK in adata.layers else np.isfinite(values),
            names.to_numpy(),
            adata.var_names.to_numpy(),
            kind=str(adata.uns[keys.EFFECT_KIND]),
            split=texts.get(keys.SPLIT),
            context=texts.get(keys.CONTEXT, ""),
            control={name: np.asarray(adata.varm[keys.CONTROL_EXPRESSION])[:, at] for at, name in enumerate(contexts)},
            cells=obs[keys.CELLS].to_numpy() if keys.CELLS in obs else None,
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
