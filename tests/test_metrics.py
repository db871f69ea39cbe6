import numpy as np
import pytest
from scipy import stats

from vaaffect import metrics

METRICS = {name: getattr(metrics, name.lower()) for name in metrics.FROM_MOMENTS}


def by_definition(true: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    """Every metric written from its definition, in another way than the library's sums."""
    cov = np.mean((true - true.mean()) * (pred - pred.mean()))
    return {
        "RMSE": np.linalg.norm(true - pred) / np.sqrt(len(true)),
        "PCC": stats.pearsonr(true, pred).statistic,
        "ICC": 2 * cov / (true.var() + pred.var()),
        "CCC": 2 * cov / (true.var() + pred.var() + (true.mean() - pred.mean()) ** 2),
        "SAGR": np.mean([np.sign(t) == np.sign(p) for t, p in zip(true, pred, strict=True)]),
    }


@pytest.mark.parametrize("n", [2, 3, 10, 5000])
@pytest.mark.parametrize("offset, size", [(0, 1), (0, 1e-6), (0, 1e6), (1000, 1), (-3, 0.01)])
def test_metrics_agree_with_their_definitions(n, offset, size):
    rng = np.random.default_rng([n, 1])
    true = offset + size * rng.normal(size=n)
    pred = offset + size * (0.5 * rng.normal(size=n) + 0.2) + 0.4 * (true - offset)
    expected = by_definition(true, pred)
    for name, metric in METRICS.items():
        assert metric(true, pred) == pytest.approx(expected[name], rel=1e-6, abs=1e-9 * size), name


def test_perfect_predictions():
    true = np.array([-0.5, 0.1, 0.7])
    values = {name: metric(true, true) for name, metric in METRICS.items()}
    assert values == pytest.approx({"RMSE": 0, "PCC": 1, "ICC": 1, "CCC": 1, "SAGR": 1}, abs=1e-7)


def test_offset_is_seen_by_ccc_only_and_gain_by_icc_too():
    true = np.random.default_rng(0).normal(size=500)
    assert metrics.pcc(true, true + 1) == pytest.approx(1)
    assert metrics.icc(true, true + 1) == pytest.approx(1)
    assert metrics.ccc(true, true + 1) < 0.9
    assert metrics.pcc(true, 0.3 * true) == pytest.approx(1)
    assert metrics.icc(true, 0.3 * true) < 0.6
    assert metrics.ccc(true, 0.3 * true) < 0.6


@pytest.mark.parametrize("constant", [0.0, 0.1, -7.3, 1e6])
def test_a_constant_has_no_correlation(constant):
    moving, still = np.linspace(-1, 1, 11), np.full(11, constant)
    for true, pred in [(moving, still), (still, moving), (still, still)]:
        for name in ("PCC", "ICC", "CCC"):
            assert np.isnan(METRICS[name](true, pred)), (name, constant)
        assert np.isfinite(METRICS["RMSE"](true, pred))


def test_empty_input_gives_nan_and_wrong_shapes_are_refused():
    assert all(np.isnan(metric([], [])) for metric in METRICS.values())
    with pytest.raises(ValueError, match="equal and 1-D"):
        metrics.rmse(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="equal and 1-D"):
        metrics.rmse(np.zeros((3, 2)), np.zeros((3, 2)))


def test_moments_of_parts_add_up_to_the_whole():
    rng = np.random.default_rng(2)
    true, pred = rng.normal(size=(2, 300))
    parts = sum(
        metrics.moments(t, p, 0.3)
        for t, p in zip(np.split(true, 3), np.split(pred, 3), strict=True)
    )
    assert parts == pytest.approx(metrics.moments(true, pred, 0.3))
