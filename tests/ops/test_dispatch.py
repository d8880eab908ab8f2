"""The table of kernels, and the ways around it."""

import sys
import threading

import pytest
import torch

from gnnvcell.errors import ConfigError, DependencyError
from gnnvcell.ops import Adjacency, aggregate, format_table, use
from gnnvcell.ops.dispatch import KERNELS, TABLE, kernel_for

CPU = torch.device("cpu")


def test_the_table_has_one_answer_per_case_and_prints_all_of_them() -> None:
    cases = [(row.operation, row.device, dtype) for row in TABLE for dtype in row.dtypes]
    assert len(cases) == len(set(cases))
    lines = format_table().splitlines()
    assert len(lines) == len(TABLE) + 1
    for row, line in zip(TABLE, lines[1:], strict=True):
        assert line.startswith(row.operation)
        assert row.kernel in line


def test_a_kernel_can_be_forced_for_a_block_or_until_undone() -> None:
    assert kernel_for("sum", CPU, torch.float32) == "embedding_bag"
    with use("dgl"):
        assert kernel_for("sum", CPU, torch.float32) == "dgl"
        with use("auto"):
            assert kernel_for("sum", CPU, torch.float32) == "embedding_bag"
        assert kernel_for("attention", CPU, torch.float32) == "numba", "operations without it keep the table's"
    forced = use("torch_csr")
    assert kernel_for("sum", CPU, torch.float32) == "torch_csr"
    forced.__exit__(None, None, None)
    assert kernel_for("sum", CPU, torch.float32) == "embedding_bag"


def test_what_is_forced_is_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    adjacency = Adjacency(torch.tensor([0]), torch.tensor([0]), 1, 1)
    for kernel, module in (("embedding_bag", "embedding_bag"), ("torch_csr", "torch_csr"), ("dgl", "dgl_kernels")):
        with monkeypatch.context() as patch:
            patch.setattr(f"gnnvcell.ops.kernels.{module}.spmm_sum", lambda a, x, w: x * 7)
            with use(kernel):
                assert aggregate(adjacency, torch.ones(1, 1)).item() == 7


def test_forcing_holds_in_its_own_thread_only() -> None:
    found: list[str] = []
    with use("dgl"):
        thread = threading.Thread(target=lambda: found.append(kernel_for("sum", CPU, torch.float32)))
        thread.start()
        thread.join()
    assert found == ["embedding_bag"]


def test_bad_requests_are_errors() -> None:
    with pytest.raises(ConfigError, match="unknown kernel 'dlg'") as error:
        use("dlg")
    assert "dgl" in str(error.value)
    with pytest.raises(ConfigError, match=r"no kernel for sum of torch\.int64"):
        kernel_for("sum", CPU, torch.int64)
    assert set(KERNELS) >= {"embedding_bag", "torch_csr", "dgl", "numba", "triton"}


def test_a_missing_triton_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "gnnvcell.ops.kernels.triton_spmm", raising=False)
    with use("triton"), pytest.raises(DependencyError, match="Triton"):
        aggregate(Adjacency(torch.tensor([0]), torch.tensor([0]), 1, 1), torch.ones(1, 1))
