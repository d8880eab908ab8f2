"""What is recorded of a run beside its scores: settings, versions, hardware, time, memory."""

import hashlib
import os
import platform
import sys
import time
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

import gnnvcell
from gnnvcell.config import digest_of
from gnnvcell.graphs.manifest import installed_versions

_GIB = 2**30
_NO_RESULTS = ("bench", "cli", "demo.py", "report", "screens", "testing", "training")


@runtime_checkable
class Job(Protocol):
    """Something to run once."""

    @property
    def key(self) -> str:
        """Digest of all that the result depends on."""
        ...

    @property
    def where(self) -> dict[str, Any]:
        """Its coordinates in the records."""
        ...

    @property
    def arm(self) -> Any:
        """The graph that it needs."""
        ...

    def run(self) -> dict[str, Any]:
        """Do it."""
        ...


def recorded(job: Job) -> dict[str, Any]:
    """Do a job: its result, and how, where and when it was got.

    ``seconds`` are those of fitting and prediction; ``total_seconds`` and ``cpu_seconds`` those of all that was done,
    such as making the graph. ``peak_memory_gib`` is that of the process meanwhile, with what it held before.
    """
    _forget_peak()
    start, cpu = time.perf_counter(), time.process_time()
    run = job.run()
    return {
        **run,
        "config_digest": digest_of(run.get("config", {})),
        "where": job.where,
        "versions": {**installed_versions(), "code": code_digest()},
        "hardware": hardware(),
        "total_seconds": round(time.perf_counter() - start, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
        "peak_memory_gib": round(peak_memory() / _GIB, 3),
        "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Hex SHA-256 of the package's code that a result depends on: that of all rooms but those that present it."""
    package = Path(gnnvcell.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        name = file.relative_to(package)
        if name.parts[0] not in _NO_RESULTS:
            digest.update(f"{name.as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def hardware() -> dict[str, Any]:
    """Of this machine, and how much of it this process uses."""
    return {"machine": platform.machine(), "cpu": _cpu(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}


def peak_memory() -> int:
    """Bytes that the process held at most, since ``_forget_peak`` where the system can tell."""
    found = _line_of(Path("/proc/self/status"), "VmHWM:")
    if found:
        return int(found.split()[0]) * 1024
    import resource  # of Unix only

    # The kernel counts in KiB, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _forget_peak() -> None:
    """Let the peak begin at what is held now, where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:  # no such file, or not ours to write: the peak is then that of the process
        return


@lru_cache(maxsize=1)
def _cpu() -> str:
    return _line_of(Path("/proc/cpuinfo"), "model name").lstrip("\t :") or platform.processor()


def _line_of(file: Path, start: str) -> str:
    """What follows in the first line that starts so; empty where there is none, as on other systems than Linux."""
    if not file.exists():
        return ""
    lines = file.read_text(encoding="utf-8").splitlines()
    return next((line.removeprefix(start).strip() for line in lines if line.startswith(start)), "")
