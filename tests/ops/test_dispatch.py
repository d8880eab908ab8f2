"""The table of kernels, and the ways around it."""

import sys
import threading

import pytest
import torch

from gnnvcell.errors import ConfigError, DependencyError
from gnnvcell.ops import Adjacency, aggregate, format_table, use
from gnnvcell.ops.dispatch import KERNELS, TABLE, kernel_for

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_the_table_has_one_answer_per_case_and_prints_all_of_them() -> None:
    cases = [(row.operation, row.device, dtype, row.most) for row in TABLE for dtype in row.dtypes]
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


def test_small_sums_on_a_gpu_are_torchs_unless_bits_matter() -> None:
    small, large = 500_000 * 256, 3_000_000 * 64  # torch's product was ahead of the first only, in float32
    assert kernel_for("sum", CUDA, torch.float32, small) == "torch_csr"
    assert kernel_for("sum", CUDA, torch.float32, large) == "triton"
    assert kernel_for("sum", CUDA, torch.float32) == "triton", "an unknown size counts as large"
    assert kernel_for("sum", CUDA, torch.bfloat16, small) == "triton"
    with use("triton"):
        assert kernel_for("sum", CUDA, torch.float32, small) == "triton"
    with use("torch_csr"):
        assert kernel_for("sum", CUDA, torch.float32, large) == "torch_csr"
    torch.use_deterministic_algorithms(True)
    try:
        assert kernel_for("sum", CUDA, torch.float32, small) == "triton"
    finally:
        torch.use_deterministic_algorithms(False)


def test_the_work_of_a_sum_is_edges_times_features_of_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []
    monkeypatch.setattr("gnnvcell.ops.spmm.kernel_for", lambda *case: asked.append(case[3]) or kernel_for(*case))
    adjacency = Adjacency(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2, 2)
    for shape in ((2, 5), (4, 2, 5)):
        aggregate(adjacency, torch.ones(shape))
    assert asked == [15, 15]


def test_autocast_does_not_shorten_torchs_product() -> None:
    adjacency = Adjacency(torch.tensor([0, 1]), torch.tensor([0, 0]), 2, 1)
    with use("torch_csr"), torch.autocast("cpu", dtype=torch.bfloat16):
        out = aggregate(adjacency, torch.tensor([[1.0], [1e-4]]))
    assert out.dtype == torch.float32
    assert out.item() == pytest.approx(1.0001, abs=1e-6)


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
