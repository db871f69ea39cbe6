import coverage_study
import numpy as np
import pandas as pd
import pytest
from benchmarks.small import bench_bootstrap
from made_up import elsewhere, predictions
from scipy import stats

from vaaffect.base.errors import UserError
from vaaffect.results import metrics
from vaaffect.results.bootstrap import Bootstrap, Spread, clip_weights, interval, unit_of
from vaaffect.results.comparisons import (
    differences,
    in_within_corpus_folds,
    mean_difference,
    paired_difference,
)
from vaaffect.results.evaluation import evaluate, fold_summary

FEW, MANY = Bootstrap(50), Bootstrap(300)


def value(results: pd.DataFrame, fold: str, dimension: str, metric: str) -> pd.Series:
    chosen = results.query("fold == @fold and dimension == @dimension and metric == @metric")
    return chosen[chosen["scale"] == "[-1, 1]"].iloc[0]


def test_metrics_are_pooled_within_a_fold_and_averaged_over_folds():
    table = predictions()
    results = evaluate(table, 10, bootstrap=Bootstrap(20))
    for dimension in ("valence", "arousal"):
        by_fold = [
            metrics.ccc(d[f"{dimension}_true"], d[f"{dimension}_pred"])
            for _, d in table.groupby("fold")
        ]
        found = [value(results, str(k), dimension, "CCC")["value"] for k in range(4)]
        assert found == pytest.approx(by_fold)
        assert value(results, "mean", dimension, "CCC")["value"] == pytest.approx(np.mean(by_fold))
    assert value(results, "mean", "valence", "CCC")["n"] == len(table)


def test_rmse_is_given_on_both_scales():
    rows = evaluate(predictions(), 10, bootstrap=Bootstrap(0))
    rows = rows.query("metric == 'RMSE' and fold == 'mean'")
    by_scale = rows[rows["dimension"] == "valence"].set_index("scale")["value"]
    assert by_scale["[-10, 10]"] == pytest.approx(10 * by_scale["[-1, 1]"])


def test_intervals_are_seeded_contain_the_value_and_widen_with_fewer_subjects():
    many, few = predictions(subjects=60), predictions(subjects=12)
    first, again = (evaluate(many, 10, bootstrap=Bootstrap(300)) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    row = value(first, "mean", "valence", "CCC")
    assert row["low"] < row["value"] < row["high"]
    small = value(evaluate(few, 10, bootstrap=Bootstrap(300)), "mean", "valence", "CCC")
    assert small["high"] - small["low"] > 1.3 * (row["high"] - row["low"])


def test_bootstrap_draws_whole_subjects_one_fewer_than_there_are():
    owners = np.array(["a", "a", "a", "b", "c", "c"])
    weights = clip_weights(owners, 4000, np.random.default_rng(0))
    first = [np.flatnonzero(owners == subject)[0] for subject in "abc"]
    assert (weights == weights[:, np.repeat(first, [3, 1, 2])]).all()  # all clips or none
    assert (weights[:, first].sum(axis=1) == 2).all()
    assert weights[:, first].mean(axis=0) == pytest.approx([2 / 3] * 3, abs=0.05)


def test_the_spread_of_the_draws_is_that_of_a_mean_over_subjects():
    """Rao and Wu: the bootstrap's variance is the unbiased one, also for four subjects."""
    values = np.array([0.1, 0.5, -0.3, 0.9])
    weights = clip_weights(np.arange(4), 40_000, np.random.default_rng(0))
    means = weights @ values / weights.sum(axis=1)
    assert means.var() == pytest.approx(values.var(ddof=1) / 4, rel=0.03)


def test_the_constant_predictor_has_an_error_and_no_correlation():
    table = predictions().assign(valence_pred=0.1, arousal_pred=-0.2)
    results = evaluate(table, 10, bootstrap=Bootstrap(50))
    assert np.isnan(value(results, "mean", "valence", "CCC")["value"])
    assert np.isnan(value(results, "mean", "valence", "CCC")["low"])
    assert value(results, "mean", "valence", "RMSE")["value"] > 0.3


def test_summary_shows_the_spread_between_folds():
    results = evaluate(predictions(), 10, bootstrap=Bootstrap(20))
    row = fold_summary(results).query("dimension == 'arousal' and metric == 'PCC'").iloc[0]
    folds = [value(results, str(k), "arousal", "PCC")["value"] for k in range(4)]
    assert row["sd"] == pytest.approx(np.std(folds, ddof=1))
    assert (row["folds"], row["seed"], row["seeds"]) == (4, 0, 1)
    assert np.isnan(row["seed_sd"])


def test_averaging_folds_on_the_same_subjects_does_not_narrow_the_interval():
    results = evaluate(elsewhere(), 1, bootstrap=Bootstrap(400))
    width = {
        fold: row["high"] - row["low"]
        for fold in ("0", "mean")
        for row in [value(results, fold, "valence", "CCC")]
    }
    # The people are the same in every fold, so averaging removes the folds' small noise only.
    assert width["mean"] > 0.9 * width["0"]
    assert value(results, "mean", "valence", "CCC")["n"] == len(predictions())


def test_other_metrics_can_be_asked_for():
    names = ["ICC(3,1)", "ICC", "ICC(2,1)"]
    results = evaluate(predictions(), 1, names=names, bootstrap=Bootstrap(20))
    assert results["metric"].unique().tolist() == names
    values = {name: of["value"].to_numpy() for name, of in results.groupby("metric")}
    assert values["ICC(3,1)"] == pytest.approx(values["ICC"])
    assert (values["ICC(2,1)"] < values["ICC"]).any()


WILD = coverage_study.Layout("wild", 40, coverage_study.EVEN, 2)
LAB = coverage_study.LAYOUTS[4]


@pytest.fixture(scope="module")
def truth() -> pd.Series:
    return WILD.truth(60, seed=0)


def keeps_its_promise(found: pd.DataFrame, promise: float = 0.93) -> pd.Series:
    """Whether each count of intervals that hold the truth is one that the promise makes plausible:
    not clearly fewer. A little more is allowed for: parts are estimated from few folds."""
    held = (found["held"] * found["count"]).round().astype(int)
    pairs = zip(held, found["count"], strict=True)
    plausible = [stats.binomtest(k, int(n), promise, "less").pvalue > 1e-3 for k, n in pairs]
    return pd.Series(plausible, found.index)


def test_intervals_hold_the_truth_as_often_as_they_say(truth):
    found = coverage_study.coverage(coverage_study.in_use, WILD, 30, truth, seed=0)
    assert len(found) == 6 and (found["count"] == 60).all()
    assert keeps_its_promise(found).all(), found
    assert found["held"].mean() < 0.995, found  # nor are they of any width


def test_so_they_do_for_the_few_subjects_of_a_laboratory():
    truth = LAB.truth(60, seed=1)
    found = coverage_study.coverage(coverage_study.in_use, LAB, 25, truth, seed=1)
    assert keeps_its_promise(found).all(), found


def test_subjects_alone_do_not_hold_it_for_a_method():
    """What this study did before, and why it no longer does: the more subjects, the more of the
    variation is between networks."""
    layout = coverage_study.Layout("wild", 150, coverage_study.EVEN)
    truth = layout.truth(60, seed=2)
    found = coverage_study.coverage(coverage_study.subjects_alone, layout, 30, truth, seed=2)
    assert not keeps_its_promise(found)["CCC", "difference"], found


def test_resampling_frames_does_not_hold_it(truth):
    found = coverage_study.coverage(coverage_study.frames_resampled, WILD, 8, truth, seed=0)
    means = found.xs("mean", level="of")
    whole = coverage_study.coverage(coverage_study.in_use, WILD, 8, truth, seed=0)
    assert (means["width"] < whole.xs("mean", level="of")["width"]).all(), (found, whole)


def test_a_fold_of_few_subjects_has_a_value_and_no_interval():
    results = evaluate(predictions(subjects=16), 1, bootstrap=FEW)
    fold, mean = (value(results, fold, "valence", "CCC") for fold in ("0", "mean"))
    assert np.isfinite(fold["value"]) and np.isnan([fold["low"], fold["high"]]).all()
    assert np.isfinite([mean["low"], mean["high"]]).all()


def test_training_subjects_are_a_part_after_nadeau_and_bengio():
    part = Spread.of_training([0.3, 0.5, 0.4, 0.6, 0.7])
    assert part == Spread(pytest.approx(0.025 / 4), 4)
    assert Spread.of_training([0.3]).variance == 0


def test_an_interval_stays_within_the_bounds_of_its_metric():
    samples = np.random.default_rng(0).normal(0, 0.3, 500)
    for name, value, least, most in [
        ("CCC", 0.9, -1, 1), ("PCC", -0.95, -1, 1), ("SAGR", 0.98, 0, 1), ("RMSE", 0.1, 0, np.inf),
        ("PCC", 1.0, -1, 1), ("RMSE", 0.0, 0, np.inf),
    ]:  # fmt: skip
        low, high = interval(value, samples, 20, name)
        assert least <= low <= value <= high <= most and low < high, name
    low, high = interval(0.9, samples, 20)  # a difference has none
    half = stats.t.ppf(0.975, 20) * samples.std(ddof=1)
    assert (low, high) == pytest.approx((0.9 - half, 0.9 + half))
    assert np.isnan(interval(0.9, samples[:1], 20)).all()
    assert np.isnan(interval(np.nan, samples, 20)).all()
    mostly = np.where(np.arange(500) < 300, np.nan, samples)
    assert np.isnan(interval(0.9, mostly, 20)).all()
    assert interval(0.9, samples, 3, "CCC")[0] < interval(0.9, samples, 30, "CCC")[0]


def two_models(noise: float = 0.02, better: float = 0.0) -> pd.DataFrame:
    """Model "a", and "b" that errs like it, but for a little noise and an offset taken away."""
    a = predictions(subjects=40).assign(model="a")
    rng = np.random.default_rng(5)
    b = a.assign(model="b")
    for name in ("valence_pred", "arousal_pred"):
        b[name] = (1 - better) * b[name] + better * b[name.replace("pred", "true")]
        b[name] += noise * rng.normal(size=len(b))
    return pd.concat([a, b], ignore_index=True)


def test_a_paired_difference_is_the_difference_of_the_means_and_narrower_than_either():
    table = two_models()
    results = evaluate(table, 1, bootstrap=Bootstrap(300))
    rows = {m: value(results[results["model"] == m], "mean", "valence", "CCC") for m in "ab"}
    found = paired_difference(table, {"model": "b"}, {"model": "a"}, bootstrap=MANY)
    assert found.value == pytest.approx(rows["b"]["value"] - rows["a"]["value"], abs=1e-12)
    assert (found.first, found.second) == pytest.approx([rows["b"]["value"], rows["a"]["value"]])
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.4 * (rows["a"]["high"] - rows["a"]["low"])
    assert (found.folds, found.subjects, found.n) == (4, 40, 600)
    assert paired_difference(table, {"model": "b"}, {"model": "a"}, bootstrap=MANY) == found
    back = paired_difference(table, {"model": "a"}, {"model": "b"}, bootstrap=Bootstrap(300))
    assert (back.value, back.low, back.high) == pytest.approx(
        (-found.value, -found.high, -found.low)
    )


def test_pairing_decides_what_two_overlapping_intervals_cannot():
    table = two_models(better=0.1)
    results = evaluate(table, 1, bootstrap=Bootstrap(300))
    a, b = (value(results[results["model"] == m], "mean", "valence", "CCC") for m in "ab")
    assert a["high"] > b["low"]
    assert paired_difference(table, {"model": "b"}, {"model": "a"}, bootstrap=MANY).decided
    rmse = paired_difference(table, {"model": "b"}, {"model": "a"}, metric="RMSE", bootstrap=MANY)
    assert rmse.decided and rmse.high < 0


def test_the_interval_of_a_difference_between_equals_holds_0_as_often_as_it_says():
    held = 0
    for i in range(60):
        table = predictions(i)
        rng = np.random.default_rng([i, 1])
        subject = table["subject"].str[1:].astype(int)
        both = []
        for model in "ab":  # each has habits of its own with people, of the same size
            habit = 0.15 * rng.normal(size=(20, 2))[subject]
            pred = table[["valence_pred", "arousal_pred"]] + habit
            both.append(table.assign(model=model, **pred))
        both = pd.concat(both)
        for dimension in ("valence", "arousal"):
            found = paired_difference(
                both, {"model": "a"}, {"model": "b"}, dimension=dimension, bootstrap=Bootstrap(200)
            )
            held += found.low <= 0 <= found.high
    assert stats.binomtest(held, 120, 0.95).pvalue > 1e-3, held


def test_a_constant_has_no_difference_in_correlation_but_one_in_error():
    table = two_models()
    of_b = table["model"] == "b"
    table.loc[of_b, ["valence_pred", "arousal_pred"]] = [0.1, 0.0]
    ccc = paired_difference(table, {"model": "a"}, {"model": "b"}, bootstrap=Bootstrap(50))
    assert np.isnan([ccc.value, ccc.low, ccc.high]).all() and not ccc.decided
    assert paired_difference(
        table, {"model": "a"}, {"model": "b"}, metric="RMSE", bootstrap=Bootstrap(50)
    ).decided


def test_differences_are_refused_where_frames_do_not_match_or_a_model_is_unclear():
    table = two_models()
    of_b = table["model"] == "b"
    one = {"first": {"model": "a"}, "second": {"model": "b"}, "bootstrap": Bootstrap(10)}
    for spoilt in (
        table.drop(table[of_b].index[7]),
        table.assign(fold=table["fold"].where(~of_b, 3 - table["fold"])),
    ):
        with pytest.raises(UserError, match="not tested on the same frames"):
            paired_difference(spoilt, **one)
    with pytest.raises(UserError, match="0 models are model 'c'"):
        paired_difference(table, {"model": "c"}, {"model": "b"})
    with pytest.raises(UserError, match="2 models are recipe 'r'; say which model"):
        paired_difference(table, {"recipe": "r"}, {"model": "b"})
    with pytest.raises(UserError, match="not by 'fold'"):
        paired_difference(table, {"fold": 0}, {"model": "b"})
    with pytest.raises(UserError, match="no predictions of model 'c'"):
        differences(table, "c")
    with pytest.raises(UserError, match="not by 'seed'"):
        differences(table, {"model": "a", "seed": 0})
    twice = pd.concat([table, table[of_b].assign(recipe="s")])
    with pytest.raises(UserError, match="2 references model 'b' fit a from A on A"):
        differences(twice, "b", bootstrap=Bootstrap(10))


def test_the_table_of_differences_holds_what_single_comparisons_say():
    table = two_models(better=0.1)
    third = table[table["model"] == "a"].assign(model="c", valence_pred=0.1)
    table = pd.concat([table, third])
    rows = differences(table, "a", metrics=("CCC", "RMSE"), bootstrap=Bootstrap(100))
    assert rows[["model", "dimension", "metric"]].to_numpy().tolist() == [
        [model, dimension, metric]
        for model in "bc"
        for dimension in ("valence", "arousal")
        for metric in ("CCC", "RMSE")
    ]
    pair = {"model": "b"}, {"model": "a"}
    single = paired_difference(
        table, *pair, metric="RMSE", dimension="arousal", bootstrap=Bootstrap(100)
    )
    row = rows.query("model == 'b' and metric == 'RMSE' and dimension == 'arousal'").iloc[0]
    assert (row["difference"], row["low"], row["high"]) == (single.value, single.low, single.high)
    assert (row["value"], row["reference_value"]) == (single.first, single.second)
    assert row["decided"] == single.decided and row["reference"] == "a"


def test_cross_corpus_and_within_corpus_models_are_compared_on_the_same_folds():
    within = predictions(folds=4).assign(train_corpus="B", test_corpus="B")
    cross = elsewhere()
    assert len(cross) == 4 * len(within)
    chosen = cross.merge(within[["clip", "frame", "fold"]], on=["clip", "frame", "fold"])
    both = pd.concat([within, cross])
    found = paired_difference(both, {"train_corpus": "A"}, {"train_corpus": "B"}, bootstrap=FEW)
    of_folds = [metrics.ccc(d["valence_true"], d["valence_pred"]) for _, d in
                chosen.groupby("fold")]  # fmt: skip
    assert found.first == pytest.approx(np.mean(of_folds))
    assert (found.n, found.folds) == (len(within), 4)
    rows = differences(both, {"train_corpus": "B"}, bootstrap=FEW)
    assert rows["reference_train_corpus"].unique().tolist() == ["B"]
    assert rows.query("metric == 'CCC'")["value"].iloc[0] == found.first


def test_in_within_corpus_folds_means_and_differences_agree():
    within = predictions(1).assign(train_corpus="A", test_corpus="A")
    cross = pd.concat(
        [
            predictions(1).assign(train_corpus="B", fold=fold, valence_pred=lambda t, k=fold:
                                  t["valence_true"] * (0.2 + 0.2 * k))
            for fold in range(4)
        ]
    )  # fmt: skip
    both = in_within_corpus_folds(pd.concat([within, cross], ignore_index=True))
    kept = both[both["train_corpus"] == "B"]
    assert len(kept) == len(within) and len(both) == 2 * len(within)
    key = ["clip", "frame", "fold"]
    assert len(kept.merge(within[key], on=key)) == len(within)
    mean = value(evaluate(kept, 1, bootstrap=Bootstrap(0)), "mean", "valence", "CCC")["value"]
    whole = pd.concat([within, cross], ignore_index=True)
    here = {"train_corpus": "B"}, {"train_corpus": "A"}
    assert paired_difference(whole, *here, bootstrap=Bootstrap(2)).first == pytest.approx(mean)


def three_seeds() -> pd.DataFrame:
    rng = np.random.default_rng(9)
    parts = []
    for seed in range(3):
        part = predictions().assign(seed=seed)
        for name in ("valence_pred", "arousal_pred"):
            part[name] += 0.05 * rng.normal(size=len(part)) + 0.2 * seed
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def test_seeds_are_averaged_and_widen_the_interval():
    table = three_seeds()
    results = evaluate(table, 10, bootstrap=MANY)
    summary = fold_summary(results)
    assert len(summary) == 2 * 6  # five metrics, RMSE on both scales
    row = summary.query("dimension == 'valence' and metric == 'CCC'").iloc[0]
    alone = [evaluate(rows, 10, bootstrap=MANY) for _, rows in table.groupby("seed")]
    of_seeds = [value(results, "mean", "valence", "CCC") for results in alone]
    means = [r["value"] for r in of_seeds]
    assert row["mean"] == pytest.approx(np.mean(means))
    assert row["seed_sd"] == pytest.approx(np.std(means, ddof=1))
    assert row["high"] - row["low"] > np.mean([r["high"] - r["low"] for r in of_seeds])
    assert (row["seeds"], row["seed"], row["folds"]) == (3, 0, 4)
    cells = results.query("dimension == 'valence' and metric == 'CCC' and fold != 'mean'")
    assert (cells["seeds"] == 1).all() and len(cells) == 12
    folds = cells.groupby("fold")["value"].mean()
    assert row["sd"] == pytest.approx(folds.std())
    assert (unit_of(3), unit_of(1)) == ("method", "these trained networks")
    short = table.drop(table.query("seed == 1 and fold == 2").index)
    with pytest.raises(UserError, match="fold 2 is missing; train it"):
        evaluate(short, 10)


def test_equal_seeds_add_nothing_to_the_interval():
    table = pd.concat([predictions().assign(seed=seed) for seed in range(3)])
    one, three = (fold_summary(evaluate(t, 1, bootstrap=FEW)) for t in (predictions(), table))
    columns = ["mean", "low", "high", "sd"]
    pd.testing.assert_frame_equal(one[columns], three[columns])
    assert (three["seed_sd"] == 0).all() and (three["seeds"] == 3).all()


def test_the_variances_of_subjects_and_seeds_add_up():
    """Degrees of freedom after Satterthwaite, between the smallest and the sum."""
    subjects, seeds = Spread(0.04, 35), Spread.of_mean([0.1, 0.5, -0.3])
    assert seeds == Spread(pytest.approx(0.16 / 3), 2)
    both = Spread.sum([subjects, seeds])
    assert both.variance == pytest.approx(0.04 + 0.16 / 3)
    assert both.freedom == pytest.approx(both.variance**2 / (0.04**2 / 35 + (0.16 / 3) ** 2 / 2))
    assert Spread.sum([subjects, Spread(0.0, 1)]) == Spread(0.04, pytest.approx(35))


def test_a_difference_averages_over_seeds_and_holds_their_variation():
    table = pd.concat([three_seeds(), predictions().assign(model="one")])
    found = paired_difference(table, {"model": "m"}, {"model": "one"}, bootstrap=FEW)
    single = [
        paired_difference(table, {"model": "m", "seed": s}, {"model": "one"}, bootstrap=FEW)
        for s in range(3)
    ]
    assert found.value == pytest.approx(np.mean([d.value for d in single]))
    assert found.high - found.low > 1.5 * np.mean([d.high - d.low for d in single])
    # The model that it is compared with has one seed, and how its seeds vary is not known.
    assert (found.seeds, found.unit) == (1, "these trained networks")
    both = pd.concat([three_seeds(), three_seeds().assign(model="twin")])
    found = paired_difference(both, {"model": "m"}, {"model": "twin"}, bootstrap=FEW)
    assert (found.seeds, found.unit, found.value) == (3, "method", 0)
    assert found.high > 0.01  # the seeds of two models have nothing in common


def test_differences_of_opposite_noise_are_decided_together_and_not_alone():
    """The interval of an average is that of the average, not the average of the intervals."""
    a, rng = predictions(subjects=40).assign(model="a"), np.random.default_rng(3)
    subject = a["subject"].str[1:].astype(int)
    habit = rng.normal(0, 0.3, 40)[subject]
    parts = [a]
    for model, sign in (("b", 1), ("c", -1)):
        better = a.assign(model=model)
        for d, column in (("valence", "valence_pred"), ("arousal", "arousal_pred")):
            moved = 0.05 * (a[f"{d}_true"] - a[column]) + 0.05 * sign * habit * a[f"{d}_true"]
            better[column] = a[column] + moved
        parts.append(better)
    table = pd.concat(parts, ignore_index=True)
    pairs = [({"model": model}, {"model": "a"}) for model in "bc"]
    single = [
        paired_difference(table, *pair, dimension=d, bootstrap=MANY)
        for pair in pairs
        for d in ("valence", "arousal")
    ]
    found = mean_difference(table, pairs, bootstrap=MANY)
    assert found.value == pytest.approx(np.mean([d.value for d in single]))
    assert found.first == pytest.approx(np.mean([d.first for d in single]))
    assert found.first - found.second == pytest.approx(found.value)
    assert found.high - found.low < 0.8 * np.mean([d.high - d.low for d in single])
    assert (found.dimension, found.subjects, found.n) == ("valence and arousal", 40, 600)
    # With a true difference that large, four intervals of five would exclude zero.
    spread = Spread(0.01**2, 12)
    moved = spread.detectable(0.95) + 0.01 * stats.t.rvs(12, size=20_000, random_state=0)
    assert (moved > spread.half_width(0.95)).mean() == pytest.approx(0.8, abs=0.01)
    assert 1.2 < found.smallest / ((found.high - found.low) / 2) < 1.5


def test_a_difference_of_differences_takes_two_corpora_as_independent():
    home = predictions(subjects=40)
    parts = []
    for corpus in "AB":
        here = home.assign(train_corpus=corpus, test_corpus=corpus, recipe="r")
        worse = here.assign(model="w", valence_pred=here["valence_pred"] + 0.2)
        parts += [here, worse]
    table = pd.concat(parts, ignore_index=True)
    pairs = {c: ({"model": "m", "test_corpus": c}, {"model": "w", "test_corpus": c}) for c in "AB"}
    one = mean_difference(table, [pairs["A"]], bootstrap=MANY)
    both = mean_difference(table, [pairs["A"]], against=[pairs["B"]], bootstrap=MANY)
    assert (both.first, both.value) == pytest.approx((one.value, 0))
    # Equal numbers on other subjects: twice the variance, not none, and twice the subjects.
    assert both.subjects == 80
    ratio = (both.high - both.low) / (one.high - one.low)
    assert ratio == pytest.approx(np.sqrt(2), rel=0.05)


def test_the_bench_measures_the_bootstrap_beside_its_peer():
    lines = bench_bootstrap(resamples=20, models=1, peer_resamples=4)
    assert "30000 frames (600 clips, 240 people, 5 folds)" in lines[0]
    seconds = [float(line.split(" s")[0].split()[-1]) for line in lines[1:]]
    assert len(seconds) == 2 and all(0 <= s < 60 for s in seconds)
    assert "x as fast" in lines[2]
