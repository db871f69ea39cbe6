import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.metrics import accuracy_score, root_mean_squared_error

from vaaffect.results import metrics

METRICS = {
    "RMSE": metrics.rmse,
    "PCC": metrics.pcc,
    "ICC": metrics.icc,
    "CCC": metrics.ccc,
    "SAGR": metrics.sagr,
}
CORRELATIONS = ("PCC", "ICC", "CCC", "ICC(2,1)", "ICC(3,1)")


def on_sums(true: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    """The second way to every metric, from sums, as the bootstrap goes it."""
    m = metrics.moments(true, pred, float(np.mean(true)))
    return {name: float(of(m)) for name, of in metrics.FROM_MOMENTS.items()}


def by_definition(true: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    """First oracle: definitions written out, the analysis of variance as a table."""
    n = len(true)
    t, p = true - true.mean(), pred - pred.mean()
    gap = (true - pred).mean()
    table = np.stack([true, pred], axis=1) - true.mean()  # frames x judges; moving all is allowed
    frame, judge, grand = table.mean(axis=1), table.mean(axis=0), table.mean()
    f = 2 * np.sum((frame - grand) ** 2) / (n - 1)
    j = n * np.sum((judge - grand) ** 2)
    e = np.sum((table - frame[:, None] - judge + grand) ** 2) / (n - 1)
    return {
        "RMSE": np.linalg.norm(true - pred) / np.sqrt(n),
        "PCC": np.sum(t * p) / np.linalg.norm(t) / np.linalg.norm(p),
        "ICC": 2 * np.mean(t * p) / (np.mean(t**2) + np.mean(p**2)),
        "CCC": 2 * np.mean(t * p) / (np.mean(t**2) + np.mean(p**2) + gap**2),
        "SAGR": np.mean([np.sign(a) == np.sign(b) for a, b in zip(true, pred, strict=True)]),
        "ICC(2,1)": (f - e) / (f + e + 2 * (j - e) / n),
        "ICC(3,1)": (f - e) / (f + e),
    }


def by_libraries(true: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    """Second oracle: scipy and scikit-learn.

    CCC is 1 - the mean squared difference of pairs over that of all combinations (Lin 1989). With
    the variances of sum and difference s and d, the mean squares are s / 2 and d / 2, and a paired
    t-test has t^2 = mean square of judges over residual.
    """
    n = len(true)
    t, p = true - true.mean(), pred - true.mean()
    every = cdist(t[:, None], p[:, None], "sqeuclidean").mean()
    sums, gaps = stats.tvar(t + p) / 2, stats.tvar(t - p) / 2
    judges = gaps * stats.ttest_rel(t, p).statistic ** 2
    return {
        "RMSE": root_mean_squared_error(t, p),
        "PCC": stats.pearsonr(t, p).statistic,
        "ICC": stats.linregress(t, p).slope * 2 / (1 + stats.tvar(p) / stats.tvar(t)),
        "CCC": 1 - np.mean((t - p) ** 2) / every,
        "SAGR": accuracy_score(np.sign(true), np.sign(pred)),
        "ICC(2,1)": (sums - gaps) / (sums + gaps + 2 * (judges - gaps) / n),
        "ICC(3,1)": (sums - gaps) / (sums + gaps),
    }


@pytest.mark.parametrize("n", [2, 3, 10, 300])
@pytest.mark.parametrize(
    "offset, size", [(0, 1), (0, 1e-6), (0, 1e6), (1000, 1), (-3, 0.01), (1e8, 1)]
)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_metrics_agree_with_their_definitions_and_with_libraries(n, offset, size, seed):
    rng = np.random.default_rng([n, seed])
    true = offset + size * rng.normal(size=n)
    gain, bias = rng.uniform(-1, 1.5), rng.normal()
    pred = offset + size * (gain * (true - offset) / size + bias + 0.5 * rng.normal(size=n))
    on_arrays = {name: metric(true, pred) for name, metric in METRICS.items()}
    for oracle in (by_definition, by_libraries):
        expected = oracle(true, pred)
        assert expected.keys() == metrics.FROM_MOMENTS.keys()
        for way in (on_arrays, on_sums(true, pred)):
            for name, value in way.items():
                unit = size if name == "RMSE" else 1
                assert value == pytest.approx(expected[name], rel=1e-6, abs=1e-6 * unit), name


def test_the_thesis_icc_is_icc_3_1_of_two_judges():
    rng = np.random.default_rng(0)
    for n in (2, 3, 10, 1000):
        true, pred = rng.normal(size=n), 0.3 + rng.normal(size=n)
        values = on_sums(true, pred)
        assert values["ICC"] == pytest.approx(values["ICC(3,1)"], rel=1e-12)


def test_icc_2_1_tends_to_ccc_with_the_number_of_frames():
    rng = np.random.default_rng(1)
    off = {}
    for n in (10, 100, 1000):
        true = rng.normal(size=n)
        pred = 0.5 * true + 0.4 + 0.5 * rng.normal(size=n)
        values = on_sums(true, pred)
        off[n] = abs(values["ICC(2,1)"] - values["CCC"])
        assert 0.01 / n < off[n] < 1 / n


@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_an_offset_of_the_predictions_alone_is_no_constant(offset):
    true = np.linspace(-1, 1, 9)
    pred = offset + 0.5 * true[::-1]
    assert metrics.pcc(true, pred) == pytest.approx(-1)
    assert metrics.icc(true, pred) == pytest.approx(-0.8, rel=1e-6)
    assert metrics.ccc(true, pred) == pytest.approx(-0.8 if offset == 0 else 0, abs=1e-9)


def test_perfect_predictions():
    true = np.array([-0.5, 0.1, 0.7])
    on_arrays = {name: metric(true, true) for name, metric in METRICS.items()}
    for way in (on_arrays, on_sums(true, true)):
        for name, value in way.items():
            assert value == pytest.approx(0 if name == "RMSE" else 1, abs=1e-12), name


def test_offset_is_seen_by_ccc_and_icc_2_1_and_gain_by_the_other_iccs_too():
    true = np.random.default_rng(0).normal(size=500)
    assert metrics.pcc(true, true + 1) == pytest.approx(1)
    assert metrics.icc(true, true + 1) == pytest.approx(1)
    assert metrics.ccc(true, true + 1) < 0.9
    assert on_sums(true, true + 1)["ICC(2,1)"] < 0.9
    assert metrics.pcc(true, 0.3 * true) == pytest.approx(1)
    assert metrics.icc(true, 0.3 * true) < 0.6
    assert metrics.ccc(true, 0.3 * true) < 0.6


@pytest.mark.parametrize("constant", [0.0, 0.1, -7.3, 1e8])
@pytest.mark.parametrize("n", [1, 2, 11, 10_000])
def test_a_constant_has_no_correlation(constant, n):
    moving, still = np.linspace(-1, 1, n), np.full(n, constant)
    for true, pred in [(moving, still), (still, moving), (still, still)]:
        sums = on_sums(true, pred)
        for name in CORRELATIONS:
            assert np.isnan(sums[name]), (name, constant)
        for name in ("PCC", "ICC", "CCC"):
            assert np.isnan(METRICS[name](true, pred)), (name, constant)
        expected = root_mean_squared_error(true, pred)
        assert METRICS["RMSE"](true, pred) == pytest.approx(expected, rel=1e-9)
        assert sums["RMSE"] == pytest.approx(expected, rel=1e-6)


def test_empty_input_gives_nan_and_wrong_shapes_are_refused():
    assert all(np.isnan(metric([], [])) for metric in METRICS.values())
    assert all(np.isnan(of(np.zeros(7))) for of in metrics.FROM_MOMENTS.values())
    for metric in METRICS.values():
        with pytest.raises(ValueError, match="equal and 1-D"):
            metric(np.zeros(3), np.zeros(4))
        with pytest.raises(ValueError, match="equal and 1-D"):
            metric(np.zeros((3, 2)), np.zeros((3, 2)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("unknown", ["true", "pred"])
def test_where_a_value_is_nan_every_metric_is_and_sagr_too(unknown):
    values = {"true": np.array([-0.5, 0.1, 0.7, 0.2]), "pred": np.array([-0.4, 0.3, -0.2, 0.1])}
    assert metrics.sagr(**values) == on_sums(**values)["SAGR"] == 0.75
    values[unknown][2] = np.nan
    for way in ({name: of(**values) for name, of in METRICS.items()}, on_sums(**values)):
        assert all(np.isnan(value) for value in way.values()), way


def test_moments_of_parts_add_up_to_the_whole_and_weights_repeat_frames():
    rng = np.random.default_rng(2)
    true, pred = rng.normal(size=(2, 300))
    parts = [
        metrics.moments(t, p, 0.3)
        for t, p in zip(np.split(true, 3), np.split(pred, 3), strict=True)
    ]
    assert sum(parts) == pytest.approx(metrics.moments(true, pred, 0.3))
    twice = np.r_[0:100, 0:100, 200:300]
    for name, of in metrics.FROM_MOMENTS.items():
        weighted = of(np.array([2.0, 0.0, 1.0]) @ np.stack(parts))
        assert weighted == pytest.approx(on_sums(true[twice], pred[twice])[name]), name
