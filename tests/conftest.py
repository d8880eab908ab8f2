import importlib
from pathlib import Path

import pytest
import torch

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure() -> None:
    # Tests run in several processes on few cores: one thread each is fastest.
    torch.set_num_threads(1)
    # xdist's controller imports the classes of warnings that workers met; DGL's only load through the door.
    importlib.import_module("gnnvcell._dgl")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real files beside the checkout; tests that need it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real files are not at {SHARED_DATA}")
    return SHARED_DATA
