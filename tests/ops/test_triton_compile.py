"""The Triton kernels compile for Hopper (sm_90), without a device and without registers spilled to memory."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

EDGES = 600  # of one row: more than a piece
TYPES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.int32: "i32", torch.int64: "i64"}
KERNELS = {
    "_spmm_kernel", "_add_kernel", "_sddmm_kernel", "_gatv2_forward", "_gatv2_backward_rows",
    "_gatv2_backward_columns", "_dot_forward", "_dot_backward_rows", "_dot_backward_columns", "_merge_kernel",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_kernels_compile_for_hopper(dtype) -> None:
    pytest.importorskip("triton")
    # In a process of its own: in this one the kernels may be interpreted.
    run = subprocess.run(
        [sys.executable, __file__, dtype], env={**os.environ, "TRITON_INTERPRET": "0"}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    stacks = dict(line.split() for line in run.stdout.splitlines())
    assert set(stacks) == KERNELS
    assert set(stacks.values()) == {"0"}, stacks


def compile_instead_of_running(kernel, *arguments, grid, warmup, num_warps, **constants) -> None:
    """What stands in for ``JITFunction.run``: prints the kernel's name and the bytes of its stack per thread."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    values = dict(zip(kernel.arg_names, arguments, strict=False)) | constants
    signature, fixed, aligned = {}, {}, {}
    for place, parameter in enumerate(kernel.params):
        value = values[parameter.name]
        if isinstance(value, torch.Tensor):
            signature[parameter.name] = "*" + TYPES[value.dtype]
            aligned[(place,)] = [["tt.divisibility", 16]]
        elif parameter.is_constexpr or value is None:
            signature[parameter.name] = "constexpr"
            fixed[(place,)] = value
        else:
            signature[parameter.name] = "i32"
            aligned[(place,)] = [["tt.divisibility", 16]]  # widths of 64 and 16 * 4
    source = ASTSource(kernel, signature, constexprs=fixed, attrs=aligned)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": num_warps})
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(made.asm["cubin"])
        usage = subprocess.run(
            [tools / "cuobjdump", "-res-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    print(kernel.__name__, *re.findall(r"STACK:(\d+)", usage))


def call_all(dtype: torch.dtype) -> None:
    """Every kernel with a hub, 64 features and 4 heads of 16."""
    from gnnvcell.ops.kernels import triton_dot, triton_gatv2, triton_sddmm, triton_spmm
    from gnnvcell.ops.row_pieces import cut_rows

    edges = cut_rows(torch.tensor([0, EDGES], dtype=torch.int32)), torch.zeros(EDGES, dtype=torch.int32)
    both = *edges, *edges, torch.arange(EDGES)
    feat, weight = torch.zeros(1, 64, dtype=dtype), torch.zeros(EDGES, dtype=dtype)
    triton_spmm.spmm_sum(*edges, feat, weight, torch.arange(EDGES))
    triton_sddmm.sddmm_dot(*edges, feat, feat)
    heads, scale = feat.reshape(1, 4, 16), torch.zeros(EDGES, 4, dtype=dtype)
    out, alpha = triton_gatv2.gatv2_forward(*edges, heads, heads, heads[0], 0.2, scale)
    triton_gatv2.gatv2_backward(heads, *both, heads, heads, heads[0], 0.2, alpha, out, scale)
    out, alpha = triton_dot.dot_forward(*edges, heads, heads, heads, 0.25, scale)
    triton_dot.dot_backward(heads, *both, heads, heads, heads, 0.25, alpha, out, scale)


if __name__ == "__main__":
    from triton.runtime.jit import JITFunction

    JITFunction.run = compile_instead_of_running  # pyright: ignore[reportAttributeAccessIssue]
    call_all(getattr(torch, sys.argv[1]))
