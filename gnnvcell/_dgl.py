"""The one door to DGL. Everything else does ``from gnnvcell._dgl import dgl``.

DGL 2.1.0 is the newest wheel on the package index. Its graph library works on current torch and numpy; what does not is
``dgl.graphbolt``, whose compiled part exists for torch <= 2.2 only and which ``dgl.distributed`` imports
unconditionally. This module puts an inert stub in its place, and only where the real one cannot load. Where DGL imports
by itself (its own CUDA builds), nothing is touched.
"""

import importlib.util
import os
import sys
import types
from pathlib import Path
from types import ModuleType
from typing import Any

from gnnvcell.errors import DependencyError


class _Unavailable:
    """Stands for anything asked of a module that cannot be loaded here; it complains when used, not when imported."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> "_Unavailable":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Unavailable(f"{self._name}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise DependencyError(
            f"{self._name} is not available with this torch",
            expected="DGL's graph, samplers and message passing; graphbolt and dgl.sparse are not used",
            remedy="use gnnvcell.ops or DGL's classic dataloading instead",
        )


class _InertModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Unavailable(f"{self.__name__}.{name}")


def _graphbolt_loads(package: Path) -> bool:
    """Whether the installed DGL has a graphbolt compiled for this torch, and the torchdata it was written for."""
    import torch

    version = torch.__version__.split("+", maxsplit=1)[0]
    compiled = list((package / "graphbolt").glob(f"*graphbolt_pytorch_{version}.*"))
    torchdata = importlib.util.find_spec("torchdata")
    if not compiled or torchdata is None or not torchdata.submodule_search_locations:
        return False
    return any(Path(place, "datapipes").is_dir() for place in torchdata.submodule_search_locations)


def _alias_packaging() -> None:
    """DGL looks for ``packaging`` inside setuptools when it is not installed; recent setuptools has none."""
    if importlib.util.find_spec("packaging") is not None:
        return
    vendored = importlib.util.find_spec("setuptools._vendor.packaging")
    if vendored is None:
        raise DependencyError("the package 'packaging' is missing", remedy="pip install packaging")
    from setuptools._vendor import packaging  # type: ignore[import-not-found]

    extern = types.ModuleType("setuptools.extern")
    extern.packaging = packaging  # type: ignore[attr-defined]
    sys.modules["setuptools.extern"] = extern
    sys.modules["setuptools.extern.packaging"] = packaging


def _open_door() -> ModuleType:
    if sys.modules.get("dgl") is not None:
        return sys.modules["dgl"]
    try:
        spec = importlib.util.find_spec("dgl")
    except (ImportError, ValueError):  # the import system refuses to look for it
        spec = None
    if spec is None or spec.origin is None:
        raise DependencyError(
            "DGL is not installed", expected="dgl 2.1.0 or a newer build", remedy="pip install dgl==2.1.0"
        )
    os.environ.setdefault("DGLBACKEND", "pytorch")
    _alias_packaging()
    if not _graphbolt_loads(Path(spec.origin).parent):
        sys.modules["dgl.graphbolt"] = _InertModule("dgl.graphbolt")
    try:
        import dgl as loaded
    except Exception as error:
        raise DependencyError(
            "DGL is installed but cannot be imported",
            found=f"{type(error).__name__}: {error}",
            remedy="pip install dgl==2.1.0, with torch >= 2.6 and Python 3.11 or 3.12",
        ) from error
    return loaded


dgl: Any = _open_door()
