"""Which kernel does what: one table, which can be read, printed and overruled."""

from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType

import torch

from gnnvcell.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Choice:
    """One line of the table.

    Args:
        operation: "sum" (mean too), "max" (min too), "edge_scores", "edge_softmax" or "attention".
        device: "cpu" or "cuda".
        dtypes: the feature types it holds for.
        kernel: what is used.
        others: what can be forced instead.
        why: the reason.
        most: edges x features of a call up to which it holds, before a line without it; None for any call.
        repeats: whether the same call gives the same bits; if not, it is passed over while torch is asked for
            deterministic algorithms.
    """

    operation: str
    device: str
    dtypes: tuple[torch.dtype, ...]
    kernel: str
    others: tuple[str, ...]
    why: str
    most: int | None = None
    repeats: bool = True

    def holds(self, work: int | None) -> bool:
        """Whether it holds for a call of ``work`` edges x features; an unknown size counts as large."""
        small = self.most is None or (work is not None and work <= self.most)
        return small and (self.repeats or not torch.are_deterministic_algorithms_enabled())


# Two launches of a Triton kernel take the host 0.1 ms, in which an H200 is done with this much of torch's product
# (benchmarks/results/engine.md). That adds up by atomics, in short floats with errors of 6 %, so it has float32 only.
_HOST_BOUND = 150_000_000
_SHORT = (torch.float32, torch.bfloat16, torch.float16)
_ALL = (*_SHORT, torch.float64)

TABLE: tuple[Choice, ...] = (
    Choice("sum", "cpu", _SHORT, "embedding_bag", ("torch_csr", "dgl", "triton"), "10 times DGL's weighted sum"),
    Choice("sum", "cpu", (torch.float64,), "torch_csr", ("embedding_bag", "dgl", "triton"), "vectorised for float64"),
    Choice(
        "sum",
        "cuda",
        (torch.float32,),
        "torch_csr",
        ("triton",),
        "one launch; last bits vary",
        most=_HOST_BOUND,
        repeats=False,
    ),
    Choice("sum", "cuda", _ALL, "triton", ("torch_csr",), "even pieces of rows, no atomics"),
    Choice("max", "cpu", _ALL, "dgl", ("torch",), "rare; DGL keeps which edge won"),
    Choice("max", "cuda", _ALL, "torch", (), "scatter; makes the messages of all edges"),
    Choice("edge_scores", "cpu", _ALL, "numba", ("dgl", "triton"), "reads each destination once"),
    Choice("edge_scores", "cuda", _ALL, "triton", (), "reads each destination once"),
    Choice("edge_softmax", "cpu", _ALL, "numba", ("dgl", "torch"), "two passes over scores of a row"),
    Choice("edge_softmax", "cuda", _ALL, "torch", (), "scatter over scores"),
    Choice("attention", "cpu", _ALL, "numba", ("triton",), "fused: nothing of size edges x heads x width"),
    Choice("attention", "cuda", _ALL, "triton", (), "fused: nothing of size edges x heads x width"),
)
_BY_CASE: dict[tuple[str, str, torch.dtype], list[Choice]] = {}
for _row in TABLE:
    for _dtype in _row.dtypes:
        _BY_CASE.setdefault((_row.operation, _row.device, _dtype), []).append(_row)
KERNELS = tuple(sorted({name for row in TABLE for name in (row.kernel, *row.others)}))
_forced: ContextVar[str | None] = ContextVar("forced_kernel", default=None)


class use:  # noqa: N801 - reads as a verb: ``ops.use("dgl")``, ``with ops.use("dgl"): ...``
    """Force a kernel for every operation that has it; operations without it keep the table's.

    Holds from the call on, in this thread, or to the end of a ``with`` block.

    Args:
        kernel: a name of ``KERNELS``, or "auto" for the table's choice.

    Raises:
        ConfigError: unknown kernel.

    Example:
        >>> with use("dgl"):
        ...     kernel_for("sum", torch.device("cpu"), torch.float32)
        'dgl'
        >>> kernel_for("sum", torch.device("cpu"), torch.float32)
        'embedding_bag'
    """

    def __init__(self, kernel: str) -> None:
        if kernel != "auto" and kernel not in KERNELS:
            raise ConfigError(
                f"unknown kernel {kernel!r}",
                expected=", ".join(("auto", *KERNELS)),
                remedy=did_you_mean(kernel, KERNELS),
            )
        self._token = _forced.set(None if kernel == "auto" else kernel)

    def __enter__(self) -> "use":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _forced.reset(self._token)


def kernel_for(operation: str, device: torch.device, dtype: torch.dtype, work: int | None = None) -> str:
    """The kernel of an operation: the forced one where the operation has it, else the table's.

    Args:
        operation: of the table.
        device: of the features.
        dtype: of the features.
        work: edges x features of the call; an unknown size counts as large.

    Raises:
        ConfigError: no kernel for this device and type.
    """
    row = next((row for row in _BY_CASE.get((operation, device.type, dtype), ()) if row.holds(work)), None)
    if row is None:
        raise ConfigError(
            f"no kernel for {operation} of {dtype} on {device}",
            expected="; ".join(
                f"{r.device}: {', '.join(map(str, r.dtypes))}" for r in TABLE if r.operation == operation
            ),
            remedy="move the features to the CPU or a CUDA device, or change their type",
        )
    forced = _forced.get()
    return forced if forced is not None and forced in row.others else row.kernel


def format_table() -> str:
    """The table as aligned text."""
    head = ("operation", "device", "types", "edges x features", "kernel", "can be forced", "why")
    body = [
        (
            row.operation,
            row.device,
            " ".join(str(dtype).removeprefix("torch.") for dtype in row.dtypes),
            "any" if row.most is None else f"to {row.most:,}",
            row.kernel,
            " ".join(row.others) or "-",
            row.why,
        )
        for row in TABLE
    ]
    widths = [max(len(line[i]) for line in (head, *body)) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *body)
    )
