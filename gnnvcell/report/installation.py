"""What an installation is made of: versions, hardware, and which kernels can run."""

import importlib.util
import os
import platform
from importlib import metadata
from pathlib import Path

import gnnvcell
from gnnvcell.errors import DependencyError

_PACKAGES = ("torch", "dgl", "numpy", "scipy", "pandas", "numba", "anndata", "matplotlib")


def describe_installation() -> dict[str, str]:
    """Name to value, both for people; a package that is missing or does not load is said so, not raised."""
    found = {
        "gnnvcell": gnnvcell.__version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        **{package: _version(package) for package in _PACKAGES},
        "cpu": f"{_processor()}, {_cores()} cores",
        "memory": _memory(),
    }
    return {**found, **_torch_devices(), "dgl loads": _dgl_state(), "kernels": _kernels()}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int | None:
    """Cores this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return "unknown"
    return f"{size / 2**30:.1f} GiB"


def _torch_devices() -> dict[str, str]:
    try:
        import torch
    except ImportError as error:
        return {"torch loads": f"no ({error})"}
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        cuda = f"{', '.join(names)} (CUDA {torch.version.cuda})"
    else:
        cuda = "none (built with CUDA)" if torch.version.cuda else "none (CPU build of torch)"
    return {"torch threads": str(torch.get_num_threads()), "gpu": cuda}


def _dgl_state() -> str:
    try:
        from gnnvcell._dgl import dgl
    except DependencyError as error:
        return f"no ({error.problem})"
    import torch

    try:
        dgl.graph(([0], [0])).to("cuda" if torch.cuda.is_available() else "cpu")
    except Exception as error:
        return f"yes, on the CPU only ({type(error).__name__})"
    return "yes, CUDA too" if torch.cuda.is_available() else "yes"


def _kernels() -> str:
    missing = [name for name in ("numba", "triton") if importlib.util.find_spec(name) is None]
    present = [name for name in ("torch", "dgl", "numba", "triton") if name not in missing]
    return ", ".join(present) + (f"; not installed: {', '.join(missing)}" if missing else "")
