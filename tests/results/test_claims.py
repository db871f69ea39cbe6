"""Verdicts follow the data: the opposite truth, planted in the simulator, turns each of them."""

import made_up
import numpy as np
import pandas as pd
import planted
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vaaffect.corpora.corpus import DIMENSIONS
from vaaffect.corpora.crops import Crops
from vaaffect.corpora.folds import subject_folds
from vaaffect.results import Bootstrap, claims
from vaaffect.results.claims import NOT_SUPPORTED, SUPPORTED, UNDECIDED
from vaaffect.results.predictions import prediction_table
from vaaffect.simulator.circumplex import action_units
from vaaffect.simulator.laboratory import LabWorld
from vaaffect.simulator.worlds import WildWorld

DRAW = Bootstrap(300)
FILMS = WildWorld(clips=150, subjects=75, frames=(2, 3), difficulty=0.3, frame_step=10)
JAW = slice(0, 34)  # columns of the 17 points of the jaw, x and y


def fit(train: Crops, other: Crops, name: str, columns: slice = slice(None)) -> pd.DataFrame:
    """A line on landmarks, tested at home by folds of people and on all of another corpus."""

    def shape(crops: Crops) -> np.ndarray:
        points = crops.landmarks.astype(float)
        points = points - points.mean(axis=1, keepdims=True)
        points /= np.sqrt((points**2).sum(axis=(1, 2), keepdims=True))
        return points.reshape(len(points), -1)[:, columns]

    tables = []
    for split in subject_folds(train.frames, 3):
        line = make_pipeline(StandardScaler(), Ridge(100))
        line.fit(shape(train)[split.train], train.va[split.train])
        for crops, rows in ((train, split.test), (other, np.arange(len(other.frames)))):
            pred = np.clip(line.predict(shape(crops)[rows]), -1, 1)
            what = {"model": name, "recipe": "x", "train_corpus": train.label}
            tables.append(prediction_table(pred, crops, rows, **what, fold=split.fold, seed=0))
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def worlds() -> tuple[Crops, Crops]:
    laboratory = LabWorld(sessions=24, subjects=12, seconds=(8, 10))
    return planted.wild(FILMS, "films"), planted.lab(laboratory, "laboratory")


@pytest.fixture(scope="module")
def predictions(worlds) -> pd.DataFrame:
    """A model that sees the whole face and one that sees the jaw alone, both worlds."""
    films, laboratory = worlds
    return pd.concat(
        [
            fit(train, other, name, columns)
            for train, other in ((films, laboratory), (laboratory, films))
            for name, columns in (("face", slice(None)), ("jaw", JAW))
        ],
        ignore_index=True,
    )


def test_a_verdict_is_the_side_of_zero_on_which_the_interval_lies():
    assert claims.verdict(0.1, 0.3) == SUPPORTED
    assert claims.verdict(-0.3, -0.1) == NOT_SUPPORTED
    assert claims.verdict(-0.1, 0.3) == claims.verdict(np.nan, np.nan) == UNDECIDED


def test_h1_turns_with_who_sees_more(predictions):
    def judged(network: str, rival: str) -> claims.Claim:
        return claims.networks_reach_the_state_of_the_art(
            predictions, [network], [rival], "films", bootstrap=DRAW
        )

    assert judged("face", "jaw").verdict == SUPPORTED
    assert judged("jaw", "face").verdict == NOT_SUPPORTED
    # Of several, the best one of each side is compared.
    both = claims.networks_reach_the_state_of_the_art(
        predictions, ["jaw", "face"], ["jaw"], "films", bootstrap=DRAW
    )
    assert both.effect == pytest.approx(judged("face", "jaw").effect)
    assert both.low < both.effect < both.high and both.data == "films"
    nobody = claims.networks_reach_the_state_of_the_art(
        predictions, ["face"], [], "films", "blind", bootstrap=DRAW
    )
    assert nobody.verdict == UNDECIDED and "no method of [7] and [17] blind" in nobody.comparison


def test_h2_turns_when_the_varied_world_is_the_laboratory(predictions):
    def judged(wild: str, lab: str) -> claims.Claim:
        return claims.the_wild_generalizes_better(predictions, ["face"], wild, lab, bootstrap=DRAW)

    assert judged("films", "laboratory").verdict == SUPPORTED
    # A world in which the corpus called wild is filmed like a laboratory, and the reverse.
    assert judged("laboratory", "films").verdict == NOT_SUPPORTED


def test_h3_and_h5_are_undecided_where_nothing_was_measured(predictions):
    assert claims.expected_ranges().verdict == UNDECIDED
    missing = claims.transfer_beats_scratch(predictions, [], "a dream", "films", bootstrap=DRAW)
    assert missing.verdict == UNDECIDED and missing.data == "none"


def test_h4_turns_with_who_is_better_where(predictions):
    def verdicts(resnet: str, vgg: str) -> list[str]:
        found = claims.resnet_against_vgg(
            predictions, resnet, vgg, "films", "laboratory", bootstrap=DRAW
        )
        return [claim.verdict for claim in found]

    assert verdicts("face", "jaw") == [SUPPORTED, NOT_SUPPORTED]
    assert verdicts("jaw", "face") == [NOT_SUPPORTED, SUPPORTED]


def test_h4_is_undecided_where_a_family_is_missing(predictions):
    found = claims.resnet_against_vgg(
        predictions, "face", None, "films", "laboratory", bootstrap=DRAW
    )
    assert [(claim.verdict, claim.data) for claim in found] == [(UNDECIDED, "none")] * 2
    assert "does not have a network of each family" in found[0].comparison


def test_h5_turns_with_which_start_is_the_better_one(predictions):
    here = {"train_corpus": "films", "test_corpus": "films"}
    good, bad = {"model": "face"} | here, {"model": "jaw"} | here
    for pair, expected in (((good, bad), SUPPORTED), ((bad, good), NOT_SUPPORTED)):
        claim = claims.transfer_beats_scratch(
            predictions, [pair], "a dream", "films", bootstrap=DRAW
        )
        assert claim.verdict == expected and "started from a dream" in claim.comparison


def test_h6_turns_when_neutral_faces_look_like_the_opposite_of_the_mean_label(worlds):
    # Few frames are neutral, and it takes many people with one to tell.
    world = WildWorld(**{**FILMS.__dict__, "clips": 600, "subjects": 300, "difficulty": 0.5})
    honest = planted.wild(world, "films")
    mean = honest.va.mean(axis=0)
    assert mean[0] < 0 < mean[1]  # films lean to the unpleasant and excited

    def contrary(va: np.ndarray, units: np.ndarray) -> np.ndarray:
        return action_units(np.array([0.45, -0.35])) if (va == 0).all() else units

    verdicts = []
    for crops in (honest, planted.wild(world, "films", change=contrary)):
        table = fit(crops, worlds[1], "line")
        found = claims.labels_explain_neutral(table, ["line"], "films", bootstrap=DRAW)
        verdicts.append([claim.verdict for claim in found])
    assert [direction for direction, _ in verdicts] == [SUPPORTED, NOT_SUPPORTED]
    # What is expected from the labels is no better than nothing where faces say the opposite.
    assert verdicts[1][1] == NOT_SUPPORTED


@pytest.mark.parametrize(
    ("shrunk", "expected"),
    [(1.0, SUPPORTED), (0.9, SUPPORTED), (0.2, NOT_SUPPORTED), (0.0, NOT_SUPPORTED)],
)
def test_h6_asks_for_the_size_too(shrunk, expected):
    """Predictions for neutral faces that are so large a part of what is expected of them."""
    rng = np.random.default_rng(0)
    n, blind = 4000, 0.75  # r^2 is 1/4
    true = rng.normal((-0.3, 0.4), 0.25, (n, 2))
    neutral = np.arange(n) % 4 == 0
    true[neutral] = 0
    mean = true.mean(axis=0)
    pred = mean + (1 - blind) * (true - mean) + rng.normal(0, 0.01, (n, 2))
    pred += np.sqrt(blind * (1 - blind)) * true.std(axis=0) * rng.normal(size=(n, 2))
    pred[neutral] = shrunk * blind * mean + rng.normal(0, 0.02, (neutral.sum(), 2))
    table = pd.DataFrame({"valence_true": true[:, 0], "arousal_true": true[:, 1],
                          "valence_pred": pred[:, 0], "arousal_pred": pred[:, 1]})  # fmt: skip
    table = table.assign(
        subject=(np.arange(n) // 8).astype(str), clip=(np.arange(n) // 4).astype(str),
        frame=np.arange(n) % 4, fold=np.arange(n) // 8 % 4, seed=0, model="line", recipe="x",
        train_corpus="films", test_corpus="films", split="subject",
    )  # fmt: skip
    _, size = claims.labels_explain_neutral(table, ["line"], "films", bootstrap=DRAW)
    assert size.verdict == expected


def test_h6_is_averaged_over_seeds_and_not_added_up():
    table = made_up.predictions()
    neutral = table["clip"].str.endswith("-0")
    one = table.assign(**{f"{d}_true": table[f"{d}_true"].mask(neutral, 0.0) for d in DIMENSIONS})
    other = one.assign(seed=1, valence_pred=one["valence_pred"] / 2 + 0.1)

    def judged(*seeds: pd.DataFrame) -> list[claims.Claim]:
        return claims.labels_explain_neutral(pd.concat(seeds), ["m"], "A", bootstrap=DRAW)

    assert judged(one, one.assign(seed=1)) == judged(one)
    for both, first, second in zip(judged(one, other), judged(one), judged(other), strict=True):
        assert both.effect == pytest.approx((first.effect + second.effect) / 2)
        assert both.high == pytest.approx((first.high + second.high) / 2)
    # Another recipe of the same name of network is one more network.
    assert judged(one, one.assign(recipe="s"))[0].effect == judged(one)[0].effect


def test_the_table_has_a_row_per_claim(predictions):
    found = claims.resnet_against_vgg(
        predictions, "face", "jaw", "films", "laboratory", bootstrap=DRAW
    )
    table = claims.claims_frame([*found, claims.expected_ranges()])
    assert table["claim"].tolist() == ["H4", "H4", "H3"]
    assert table["data"].tolist() == ["films", "laboratory", "none"]
    assert list(table)[-5:] == ["effect", "low", "high", "verdict", "data"]
    assert table["thesis"].str.contains("section").all()
