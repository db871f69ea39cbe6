"""The thesis's statements: planted data turn each verdict; what was not measured is not decided."""

import numpy as np
import pandas as pd
import pytest
from made_up import elsewhere, predictions

from vaaffect.results import Bootstrap, epoch_statements, evaluate, statements
from vaaffect.results.claims import NOT_SUPPORTED, SUPPORTED, UNDECIDED
from vaaffect.results.statements import MARGIN, NOT_TESTED

DRAW = Bootstrap(200)


def blurred(table: pd.DataFrame, noise: float, name: str = "m", **columns) -> pd.DataFrame:
    """The labels with so much noise, as the predictions of a model."""
    rng = np.random.default_rng(7)
    pred = {
        f"{d}_pred": np.clip(table[f"{d}_true"] + noise * rng.normal(size=len(table)), -1, 1)
        for d in ("valence", "arousal")
    }
    return table.assign(**pred, model=name, **columns)


def corpora(cross: float, within: float = 0.1) -> pd.DataFrame:
    """Trained on A and on B, both tested on B, with so much noise each."""
    native = blurred(predictions(subjects=40), within).assign(train_corpus="B", test_corpus="B")
    return pd.concat([native, blurred(elsewhere(), cross)], ignore_index=True)


@pytest.mark.parametrize(
    ("cross", "verdict", "opposite"),
    [(0.1, SUPPORTED, NOT_SUPPORTED), (1.0, NOT_SUPPORTED, SUPPORTED)],
)
def test_cross_corpus_models_are_almost_as_good_or_poor_by_what_they_lose(cross, verdict, opposite):
    table = corpora(cross)
    table = table[table["subject"].isin(elsewhere()["subject"])]
    found = statements.almost_as_good(table, ["m"], "A", "B", bootstrap=DRAW)
    assert found.verdict == verdict and found.data == "B" and found.over == "subjects"
    assert (found.high < MARGIN) == (verdict == SUPPORTED)
    poor = statements.poor_from_the_laboratory(table, ["m"], "B", "A", bootstrap=DRAW)
    assert poor.verdict == opposite and (poor.value, poor.low) == (found.value, found.low)


def test_what_reaches_over_the_margin_is_undecided():
    assert statements.beside_margin(-0.01, 0.04) == SUPPORTED
    assert statements.beside_margin(0.01, 0.04) == SUPPORTED  # a loss, and a small one
    assert statements.beside_margin(0.01, 0.06) == UNDECIDED
    assert statements.beside_margin(0.06, 0.2) == NOT_SUPPORTED
    assert statements.beside_margin(np.nan, np.nan) == UNDECIDED


def test_strong_in_valence_is_a_difference_of_differences():
    table = predictions(subjects=60)
    method = blurred(table, 0.4, "method")
    network = method.assign(model="net", valence_pred=blurred(table, 0.1)["valence_pred"])
    both = pd.concat([network, method], ignore_index=True)
    found = statements.strong_for_valence(both, "net", "method", "A", bootstrap=DRAW)
    assert found.verdict == SUPPORTED and found.value > 0.1
    names = {"valence_true": "arousal_true", "arousal_true": "valence_true",
             "valence_pred": "arousal_pred", "arousal_pred": "valence_pred"}  # fmt: skip
    turned = both.rename(columns=names)[both.columns]
    found = statements.strong_for_valence(turned, "net", "method", "A", bootstrap=DRAW)
    assert found.verdict == NOT_SUPPORTED
    # The average over dimensions is another comparison: alike in both is no strength in one.
    alike = blurred(table, 0.1, "net")
    both = pd.concat([alike, method], ignore_index=True)
    found = statements.strong_for_valence(both, "net", "method", "A", bootstrap=DRAW)
    assert found.verdict == UNDECIDED


def test_two_folds_say_what_luck_would_have_said_too():
    table = predictions(subjects=60, folds=5)
    network, method = blurred(table, 0.5, "net"), blurred(table, 0.4, "method")
    lucky = table["fold"] < 2
    rows = network[["valence_pred", "arousal_pred"]]
    network.loc[lucky, rows.columns] = blurred(table, 0.1)[rows.columns][lucky]

    def found(of: pd.DataFrame) -> statements.Statement:
        results = evaluate(pd.concat([of, method]), 1, bootstrap=Bootstrap(0))
        return statements.two_folds_reach(results, "net", "method", "A")

    one = found(network)
    assert one.verdict == SUPPORTED and one.value > 0 and np.isnan([one.low, one.high]).all()
    assert "second best of its 5 folds" in one.measured and "H1 decides by it" in one.why
    assert found(blurred(table, 0.8, "net")).verdict == NOT_SUPPORTED
    assert "says the same" in found(blurred(table, 0.8, "net")).why


def test_the_second_largest_of_several_is_the_one_of_many_draws():
    draws = np.sort(np.random.default_rng(0).normal(size=(100000, 5)), axis=1)[:, -2].mean()
    assert statements.second_largest(5) == pytest.approx(draws, abs=0.01)
    assert statements.second_largest(2) == pytest.approx(-np.sqrt(1 / np.pi), abs=1e-6)


def recipes(**noise: float) -> pd.DataFrame:
    """Models of one table, "NAME RECIPE": how much noise."""
    table = predictions(subjects=60)
    parts = []
    for number, (key, amount) in enumerate(noise.items()):
        name, recipe = key.split("_")
        rng = np.random.default_rng(number)
        own = blurred(table, amount, name, recipe=recipe)
        own["valence_pred"] = (own["valence_pred"] + 0.01 * rng.normal(size=len(own))).clip(-1, 1)
        parts.append(own)
    return pd.concat(parts, ignore_index=True)


def test_more_subjects_help_where_they_do():
    rows = [("vgg", "all", "part"), ("resnet", "all", "part")]
    for whole, part, verdict in ((0.2, 0.6, SUPPORTED), (0.6, 0.2, NOT_SUPPORTED)):
        table = recipes(vgg_all=whole, vgg_part=part, resnet_all=whole, resnet_part=part)
        found = statements.more_subjects_help(table, rows, "a quarter", bootstrap=DRAW)
        assert found.verdict == verdict and "minus with a quarter" in found.measured
        # Both gain alike, which favours neither.
        found = statements.more_data_favour(table, *rows, "a quarter", bootstrap=DRAW)
        assert found.verdict == UNDECIDED


@pytest.mark.parametrize(
    ("vgg", "resnet", "verdict"), [(0.9, 0.25, SUPPORTED), (0.25, 0.9, NOT_SUPPORTED)]
)
def test_more_data_favour_the_network_that_gains_more(vgg, resnet, verdict):
    table = recipes(vgg_all=0.2, vgg_part=vgg, resnet_all=0.2, resnet_part=resnet)
    rows = [("vgg", "all", "part"), ("resnet", "all", "part")]
    found = statements.more_data_favour(table, *rows, "a quarter", bootstrap=DRAW)
    assert found.verdict == verdict and found.section == "5.1.3, 6"


@pytest.mark.parametrize(("without", "verdict"), [(0.6, SUPPORTED), (0.1, NOT_SUPPORTED)])
def test_a_part_of_the_recipe_is_judged_by_leaving_it_out(without, verdict):
    table = recipes(net_thesis=0.3, net_whole=without)
    found = statements.with_and_without(
        table, "thesis", "whole", "4.3.1", "Crops help", "with minus without", bootstrap=DRAW
    )
    assert found.verdict == verdict and found.measured.startswith("with minus without")


def epochs(seconds: dict, count: dict, error: dict) -> pd.DataFrame:
    """Histories of five folds: by (model, recipe), seconds, epochs, and the error of the first,
    which falls by a tenth per epoch."""
    rng = np.random.default_rng(0)
    rows = [
        {"model": model, "recipe": recipe, "data": "films", "fold": fold, "seed": 0,
         "device": "cpu", "epoch": epoch + 1,
         "train_mse": first * 0.9**epoch * rng.uniform(0.95, 1.05),
         "val_mse": first * rng.uniform(0.95, 1.05),
         "seconds": seconds[model, recipe] * rng.uniform(0.9, 1.1)}
        for (model, recipe), first in error.items()
        for fold in range(5)
        for epoch in range(count[model, recipe])
    ]  # fmt: skip
    return pd.DataFrame(rows)


def families(vgg: float, resnet: float, epochs_of=(10, 10)) -> pd.DataFrame:
    keys = [("vgg", "r"), ("resnet", "r")]
    seconds = dict(zip(keys, (vgg, resnet), strict=True))
    return epochs(seconds, dict(zip(keys, epochs_of, strict=True)), dict.fromkeys(keys, 0.1))


def test_who_trains_faster_is_read_from_the_seconds_of_epochs():
    found = epoch_statements.trains_faster(families(4, 2), "resnet", "vgg")
    assert found.verdict == SUPPORTED and found.value == pytest.approx(2, rel=0.1)
    assert found.over == "trainings" and found.data == "films"
    other = epoch_statements.trains_faster(families(2, 4), "resnet", "vgg")
    assert other.verdict == NOT_SUPPORTED and other.high < 1
    assert epoch_statements.trains_faster(families(2, 2), "resnet", "vgg").verdict == UNDECIDED


def test_times_of_different_machines_are_not_compared():
    table = families(4, 2)
    table.loc[table["model"] == "vgg", "device"] = "a GPU"
    found = epoch_statements.trains_faster(table, "resnet", "vgg")
    assert found.verdict == NOT_TESTED and "no two trainings can be compared" in found.why


def test_epochs_until_convergence_are_counted_where_that_is_the_rule():
    found = epoch_statements.fewer_epochs(families(1, 1, (19, 10)), "resnet", "vgg")
    assert found.verdict == UNDECIDED or found.value == pytest.approx(1.9)
    table = pd.concat([families(1, 1, (18, 10)), families(1, 1, (20, 11)).assign(seed=1)])
    assert epoch_statements.fewer_epochs(table, "resnet", "vgg").verdict == SUPPORTED
    assert epoch_statements.fewer_epochs(table, "vgg", "resnet").verdict == NOT_SUPPORTED
    found = epoch_statements.fewer_epochs(table, "resnet", "vgg", "the schedule ends them")
    assert (found.verdict, found.why) == (NOT_TESTED, "the schedule ends them")


def test_a_fold_takes_days_or_it_does_not():
    day = 24 * 3600
    assert epoch_statements.takes_days(families(day, day)).verdict == SUPPORTED
    short = epoch_statements.takes_days(families(60, 60))
    assert short.verdict == NOT_SUPPORTED and short.value == pytest.approx(10, rel=0.05)
    other = epoch_statements.takes_days(families(60, 60), "other networks")
    assert (other.verdict, other.value, other.why) == (NOT_TESTED, short.value, "other networks")


@pytest.mark.parametrize(("without", "verdict"), [(0.2, SUPPORTED), (0.05, NOT_SUPPORTED)])
def test_convergence_is_the_area_below_the_curve(without, verdict):
    keys = [("net", "thesis"), ("net", "none")]
    error = dict(zip(keys, (0.1, without), strict=True))
    table = epochs(dict.fromkeys(keys, 1), dict(zip(keys, (8, 12), strict=True)), error)
    what = {"section": "4.3.2", "statement": "x", "how": "with and without"}
    for judge in (epoch_statements.converges_faster, epoch_statements.better_from_the_start):
        found = judge(table, "thesis", "none", **what)
        assert found.verdict == verdict and found.value == pytest.approx(without / 0.1, rel=0.1)


def test_a_single_training_has_no_interval():
    table = families(4, 2).query("fold == 0")
    found = epoch_statements.trains_faster(table, "resnet", "vgg")
    assert found.verdict == UNDECIDED and found.value > 1 and np.isnan(found.low)


def test_what_was_not_tested_says_why():
    table = statements.statements_frame([statements.not_tested("1", "x", "no such corpus")])
    row = table.iloc[0]
    assert (row["verdict"], row["why"], row["over"]) == (NOT_TESTED, "no such corpus", "none")
    assert np.isnan(row["value"])
    known = [*statements.without_methods(), *statements.out_of_reach()]
    assert {one.verdict for one in known} == {NOT_TESTED} and all(one.why for one in known)
