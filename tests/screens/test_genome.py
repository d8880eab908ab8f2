"""Genome screens: what is stored, what a kill loses, and what is refused."""

import os
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

from gnnvcell import keys
from gnnvcell.errors import ConfigError, DataError, FileFormatError, ModelError, PerturbationError
from gnnvcell.models.base import Prediction
from gnnvcell.screens.genome import GenomeConfig, screen_genome
from gnnvcell.screens.genome_store import GenomeStore

GENES = np.array([f"R{i}" for i in range(7)])
NAMES = [f"P{i}" for i in range(10)]


class Told:
    """Effects that follow from the perturbation's name; it counts what it was asked."""

    def __init__(self, *, scale: float = 1.0, spread: bool = False, genes=GENES, fail_at: int | None = None) -> None:
        self.scale, self.spread, self.genes, self.fail_at = scale, spread, genes, fail_at
        self.asked: list[str] = []

    def predict(self, perturbations, *, context=None) -> Prediction:
        names = np.asarray(perturbations, dtype=str)
        if self.fail_at is not None and len(self.asked) >= self.fail_at:
            raise KeyboardInterrupt
        self.asked += names.tolist()
        number = np.array([int(name.lstrip("P")) for name in names], dtype=np.float32)
        values = (self.scale * np.sin(number[:, None] + np.arange(len(self.genes)))).astype(np.float32)
        spread = np.full(values.shape, 0.5, dtype=np.float32) if self.spread else None
        return Prediction(values, names, self.genes, number, str(context or "cell"), spread)


def screen(model, path: Path, names=NAMES, rows: int = 4, **settings):
    return screen_genome(model, path, names, config=GenomeConfig(rows=rows, **settings))


def test_a_screen_is_an_anndata_store(tmp_path):
    model = Told(spread=True)
    found = ad.read_zarr(screen(model, tmp_path / "s.zarr", spread=True))
    expected = Told().predict(NAMES)
    np.testing.assert_array_equal(found.X, expected.values)
    np.testing.assert_array_equal(found.obs[keys.SUPPORT], expected.support)
    np.testing.assert_array_equal(found.layers[keys.SPREAD], np.full((10, 7), 0.5))
    assert found.obs_names.tolist() == NAMES
    assert found.var_names.tolist() == GENES.tolist()
    assert model.asked == NAMES  # each once


def test_float16_rounds_and_halves_the_room(tmp_path):
    values = np.asarray(ad.read_zarr(screen(Told(), tmp_path / "s.zarr", dtype="float16")).X)
    assert values.dtype == np.float16
    np.testing.assert_allclose(values, Told().predict(NAMES).values, rtol=1e-3)


def test_what_was_done_is_not_done_again(tmp_path):
    path = tmp_path / "s.zarr"
    with pytest.raises(KeyboardInterrupt):
        screen(Told(fail_at=8), path)
    store = GenomeStore(path)
    assert store.done.tolist() == [True, True, False]
    assert np.isnan(np.asarray(ad.read_zarr(path).X)[8:]).all()
    again = Told()
    screen(again, path)
    assert again.asked == ["P0", "P8", "P9"]  # one stored row to know the model by, then what was missing
    np.testing.assert_array_equal(ad.read_zarr(path).X, Told().predict(NAMES).values)
    whole = Told()
    screen(whole, path)
    assert whole.asked == ["P0"]


KILLED = """
import sys, time
import numpy as np
sys.path.insert(0, {folder!r})
from test_genome import Told, screen

class Slow(Told):
    def predict(self, perturbations, *, context=None):
        time.sleep(0.05)
        return super().predict(perturbations, context=context)

screen(Slow(), __import__("pathlib").Path({path!r}), names=[f"P{{i}}" for i in range(400)], rows=4)
"""


def test_a_killed_process_loses_one_chunk(tmp_path):
    path = tmp_path / "s.zarr"
    script = KILLED.format(folder=str(Path(__file__).parent), path=str(path))
    process = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": "1"})
    marks = path / "uns" / keys.GENOME_SCREEN / "done"
    deadline = time.monotonic() + 240
    while len(list(marks.glob("[0-9]*"))) < 5 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    names = [f"P{i}" for i in range(400)]
    done = GenomeStore(path).done
    assert 5 <= done.sum() < 100
    before = {name: (path / "X" / name).stat().st_mtime_ns for name in (f"{c}.0" for c in np.flatnonzero(done))}
    again = Told()
    screen(again, path, names=names)
    assert len(again.asked) == 1 + 4 * (~done).sum()
    assert all((path / "X" / name).stat().st_mtime_ns == when for name, when in before.items())
    np.testing.assert_array_equal(ad.read_zarr(path).X, Told().predict(names).values)


def test_a_store_of_other_settings_or_another_model_is_refused(tmp_path):
    path = screen(Told(), tmp_path / "s.zarr")
    with pytest.raises(DataError, match="begun with other rows"):
        screen(Told(), path, rows=5)
    with pytest.raises(DataError, match="begun with other dtype"):
        screen(Told(), path, dtype="float16")
    with pytest.raises(DataError, match="begun with other perturbations"):
        screen(Told(), path, names=NAMES[:3])
    with pytest.raises(DataError, match="begun with other context"):
        screen_genome(Told(), path, NAMES, context="other", config=GenomeConfig(rows=4))
    with pytest.raises(DataError, match="begun with other model"):
        screen_genome(Told(), path, NAMES, config=GenomeConfig(rows=4), identity={"folder": "abc"})
    with pytest.raises(DataError, match="predicts P0 otherwise"):
        screen(Told(scale=1.01), path)
    with pytest.raises(DataError, match="predicts P0 otherwise"):
        screen(Told(genes=GENES[:5]), path)


def test_bad_input(tmp_path):
    with pytest.raises(ConfigError, match="no perturbation to screen"):
        screen(Told(), tmp_path / "s.zarr", names=[])
    with pytest.raises(ConfigError, match="perturbations repeat"):
        screen(Told(), tmp_path / "s.zarr", names=["P1", "P1"])
    with pytest.raises(PerturbationError):
        screen(Told(), tmp_path / "s.zarr", names=["P1", "P1+"])
    with pytest.raises(ConfigError, match=r"ending in \.zarr"):
        screen(Told(), tmp_path / "s.h5ad")
    with pytest.raises(ModelError, match="the model gives none"):
        screen(Told(), tmp_path / "s.zarr", spread=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileFormatError, match="is a file"):
        screen(Told(), tmp_path / "file" / "s.zarr")
    (tmp_path / "folder.zarr").mkdir()
    with pytest.raises(FileFormatError, match="no zarr store"):
        screen(Told(), tmp_path / "folder.zarr")
    ad.AnnData(np.zeros((2, 2))).write_zarr(tmp_path / "cells.zarr")
    with pytest.raises(FileFormatError, match=r"no (genome screen|zarr store)"):
        screen(Told(), tmp_path / "cells.zarr")
    assert not (tmp_path / "s.zarr").exists()


def test_a_disk_that_is_too_small_is_known_before(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("gnnvcell.screens.genome_store.shutil.disk_usage", lambda _: usage(100, 0, 100))
    with pytest.raises(ConfigError, match="does not fit on the disk"):
        screen(Told(), tmp_path / "s.zarr")
    assert not (tmp_path / "s.zarr").exists()


def test_a_disk_that_gets_full_keeps_what_is_done(tmp_path, monkeypatch):
    path, write = tmp_path / "s.zarr", GenomeStore.write

    def full(self, chunk, found):
        if chunk == 1:
            monkeypatch.setattr("zarr.core.array.Array.__setitem__", _no_space)
        write(self, chunk, found)

    monkeypatch.setattr(GenomeStore, "write", full)
    with pytest.raises(OSError, match="No space left on device; chunks that are done stay"):
        screen(Told(), path)
    monkeypatch.undo()
    assert GenomeStore(path).done.tolist() == [True, False, False]
    screen(Told(), path)
    assert GenomeStore(path).complete


def _no_space(*_):
    raise OSError(28, "No space left on device")
