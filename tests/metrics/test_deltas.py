import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import pearsonr

from gnnvcell.errors import ConfigError, DataError, PerturbationError
from gnnvcell.metrics import (
    amplitude_ratio,
    mae_delta,
    mse_delta,
    normalised_retrieval,
    pearson_delta,
    perturbation_discrimination,
    spearman_brown,
    targets_left_out,
)

PERTURBATIONS = np.array(["G0", "G3", "G1+G2", "elsewhere", "G5", "G6"])
GENES = np.array([f"G{i}" for i in range(9)])


def deltas(seed: int = 0):
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(6, 9))
    return true + rng.normal(size=true.shape), true, targets_left_out(PERTURBATIONS, GENES)


def test_targets_left_out_by_hand() -> None:
    scored = targets_left_out(PERTURBATIONS, GENES)
    assert [np.flatnonzero(~row).tolist() for row in scored] == [[0], [3], [1, 2], [], [5], [6]]


def test_targets_are_read_off_names_with_mode_and_dose() -> None:
    names = np.array(["G0|CRISPRi", "G2+G1|KO@80%", "G3+ctrl", "G4|CRISPRa@3x", "control", "1+2|drug@1uM"])
    scored = targets_left_out(names, GENES)
    assert [np.flatnonzero(~row).tolist() for row in scored] == [[0], [1, 2], [3], [4], [], []]
    with pytest.raises(PerturbationError, match="unknown mode 'CRISPRx'"):
        targets_left_out(np.array(["G0|CRISPRx"]), GENES)


def test_row_by_row_with_the_columns_cut_out() -> None:
    predicted, true, scored = deltas()
    centre = true.mean(axis=0)
    for i, (x, y, inside) in enumerate(zip(predicted, true, scored, strict=True)):
        x, y, c = x[inside], y[inside], centre[inside]
        assert pearson_delta(predicted, true, scored)[i] == pytest.approx(pearsonr(x, y)[0])
        assert pearson_delta(predicted, true, scored, centre=centre)[i] == pytest.approx(pearsonr(x - c, y - c)[0])
        assert mse_delta(predicted, true, scored)[i] == pytest.approx(((x - y) ** 2).mean())
        assert mae_delta(predicted, true, scored)[i] == pytest.approx(np.abs(x - y).mean())
        assert amplitude_ratio(predicted, true, scored)[i] == pytest.approx(np.linalg.norm(x) / np.linalg.norm(y))
        for distance, name in (("l1", "cityblock"), ("l2", "euclidean"), ("cosine", "cosine")):
            to_all = cdist(x[None], true[:, inside], name)[0]  # type: ignore[call-overload]
            wanted = 1 - (to_all < to_all[i]).sum() / 6
            found = perturbation_discrimination(predicted, true, scored, distance=distance)[i]
            assert found == pytest.approx(wanted), distance
        correlations = [pearsonr(x, other[inside])[0] for other in true]
        rank = (np.array(correlations) > correlations[i]).sum()
        assert normalised_retrieval(predicted, true, scored)[i] == pytest.approx(1 - rank / 6)


def test_a_perfect_and_a_constant_prediction() -> None:
    _, true, scored = deltas()
    for distance in ("l1", "l2", "cosine"):
        assert (perturbation_discrimination(true, true, scored, distance=distance) == 1).all()
    assert pearson_delta(true, true) == pytest.approx(1.0)
    constant = np.zeros_like(true)
    assert np.isnan(pearson_delta(constant, true, scored)).all()
    assert perturbation_discrimination(constant, true, scored) == pytest.approx(1 - 5 / 12)  # all tied
    assert normalised_retrieval(constant, true, scored) == pytest.approx(1 - 5 / 12)
    assert (amplitude_ratio(constant, true) == 0).all()


def test_inflation_lifts_l1_but_not_cosine() -> None:
    """The trap of the challenge's score: the same directions, ten times as long."""
    rng = np.random.default_rng(1)
    true = rng.normal(size=(60, 40)) * rng.uniform(0.2, 3, size=(60, 1))
    predicted = 0.3 * true + 0.3 * rng.normal(size=true.shape)
    plain, inflated = (perturbation_discrimination(k * predicted, true, distance="l1").mean() for k in (1, 10))
    assert inflated > plain + 0.05
    cosine = [perturbation_discrimination(k * predicted, true).mean() for k in (1, 10)]
    assert cosine[0] == pytest.approx(cosine[1])


def test_pairs_that_were_not_measured_are_not_read() -> None:
    predicted, true, scored = deltas()
    holes = true.copy()
    holes[~scored] = np.nan
    for score in (pearson_delta, mse_delta, mae_delta, amplitude_ratio):
        np.testing.assert_allclose(score(predicted, holes, scored), score(predicted, true, scored))


def test_spearman_brown_by_hand() -> None:
    np.testing.assert_allclose(spearman_brown(np.array([0.5, 1.0, 0.0])), [2 / 3, 1.0, 0.0])


def test_bad_input_is_refused() -> None:
    predicted, true, scored = deltas()
    with pytest.raises(DataError, match="do not fit each other"):
        pearson_delta(predicted[:, :3], true)
    broken = predicted.copy()
    broken[0, 1] = np.inf
    with pytest.raises(DataError, match="1 scored predicted deltas are not finite"):
        mse_delta(broken, true, scored)
    with pytest.raises(ConfigError, match="unknown distance 'l3'"):
        perturbation_discrimination(predicted, true, distance="l3")


def test_agrees_with_cell_eval() -> None:
    """On pseudobulks of one cell each; cell-eval leaves targets out of its ranks and not out of its correlations."""
    anndata = pytest.importorskip("anndata")
    evaluation = pytest.importorskip("cell_eval", reason="pip install cell-eval==0.8.2 to compare with it")
    from cell_eval._types import PerturbationAnndataPair  # pyright: ignore[reportMissingImports]
    from cell_eval.metrics import _anndata as official  # pyright: ignore[reportMissingImports]

    assert evaluation is not None
    rng = np.random.default_rng(2)
    names = np.array([f"G{i}" for i in range(12)])
    genes = np.array([f"G{i}" for i in range(30)])
    control, true, predicted = rng.random((1, 30)), rng.random((12, 30)), rng.random((12, 30))

    def cells(values):
        made = anndata.AnnData(np.vstack([control, values]))
        made.obs["pert"] = ["control", *names]
        made.var_names = genes
        return made

    pair = PerturbationAnndataPair(cells(true), cells(predicted), pert_col="pert", control_pert="control")
    scored = targets_left_out(names, genes)
    x, y = predicted - control, true - control
    ours = {
        "pearson_delta": (pearson_delta(x, y), official.pearson_delta(pair)),
        "mse_delta": (mse_delta(x, y), official.mse_delta(pair)),
        "mae_delta": (mae_delta(x, y), official.mae_delta(pair)),
        **{
            f"pds {d}": (
                perturbation_discrimination(x, y, scored, distance=d),
                official.discrimination_score(pair, metric=d),
            )
            for d in ("l1", "l2", "cosine")
        },
    }
    for name, (mine, theirs) in ours.items():
        np.testing.assert_allclose(mine, [theirs[p] for p in names], atol=1e-6, err_msg=name)
