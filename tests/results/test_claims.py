"""Verdicts follow the data: the opposite truth, planted in the simulator, turns each of them."""

import itertools

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
from vaaffect.results.bootstrap import METHOD, TRAINED, Spread
from vaaffect.results.claims import CORPORA, NOT_MEASURED, NOT_SUPPORTED, SUPPORTED, UNDECIDED
from vaaffect.results.comparisons import mean_difference
from vaaffect.results.power import power
from vaaffect.results.predictions import prediction_table
from vaaffect.simulator.circumplex import action_units
from vaaffect.simulator.laboratory import LabWorld
from vaaffect.simulator.worlds import WildWorld

DRAW = Bootstrap(300)
FILMS = WildWorld(clips=150, subjects=75, frames=(2, 3), difficulty=0.3, frame_step=10)
JAW = slice(0, 34)  # columns of the 17 points of the jaw, x and y


def fit(
    train: Crops, other: Crops, name: str, columns: slice = slice(None), blur: int | None = None
) -> pd.DataFrame:
    """A line on landmarks, tested at home by folds of people and on all of another corpus; `blur`
    is a seed of noise on them, a pixel or so."""

    def shape(crops: Crops) -> np.ndarray:
        points = crops.landmarks.astype(float)
        if blur is not None:
            points = points + np.random.default_rng(blur).normal(0, 1.5, points.shape)
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


def h1(predictions: pd.DataFrame, network: str, methods: list[str], among: str = ""):
    table = claims.against_each_method(predictions, network, methods, "films", bootstrap=DRAW)
    return table, claims.networks_reach_the_state_of_the_art(table, among)


def test_h1_turns_with_who_sees_more(predictions):
    assert h1(predictions, "face", ["jaw"])[1].verdict == SUPPORTED
    assert h1(predictions, "jaw", ["face"])[1].verdict == NOT_SUPPORTED
    _, nobody = h1(predictions, "face", [], "blind")
    assert nobody.verdict == NOT_MEASURED and "no method of [7] and [17] blind" in nobody.comparison
    assert (nobody.unit, nobody.seeds, nobody.data) == ("none", 0, "none")


def test_h1_names_what_was_beaten_and_is_decided_against_the_best(predictions):
    twin = predictions.query("model == 'jaw'").assign(model="jaw again")
    table, claim = h1(pd.concat([predictions, twin]), "jaw", ["face", "jaw again"])
    assert table["method"].tolist() == ["face", "jaw again"]  # the best method first
    assert table["verdict"].tolist() == ["better", "not beaten"]
    assert claim.effect == table["difference"].min() and claim.verdict == NOT_SUPPORTED
    assert "Neither beaten nor better: jaw again. Better than the network: face." in claim.sentence
    table, claim = h1(pd.concat([predictions, twin]), "face", ["jaw", "jaw again"])
    assert "Beaten one by one: jaw; jaw again." in claim.sentence
    assert claim.data == "films" and f"over {FILMS.subjects} subjects and 1 seed." in claim.sentence


def test_h1_is_about_the_method_where_the_network_has_several_seeds(predictions):
    other = predictions.query("model == 'face'").assign(seed=1)
    _, claim = h1(pd.concat([predictions, other]), "face", ["jaw"])
    assert (claim.unit, claim.seeds) == (METHOD, 2) and "for the method on films" in claim.sentence
    _, single = h1(predictions, "face", ["jaw"])
    assert (single.unit, single.seeds) == (TRAINED, 1)
    assert "Supported for these trained networks on films" in single.sentence


def h2(predictions: pd.DataFrame, networks: list[str], wild: str, lab: str) -> claims.Claim:
    return claims.the_wild_generalizes_better(predictions, networks, wild, lab, bootstrap=DRAW)


def test_h2_turns_when_the_varied_world_is_the_laboratory(predictions):
    found = h2(predictions, ["face"], "films", "laboratory")
    assert found.verdict == SUPPORTED and found.unit == CORPORA
    # A world in which the corpus called wild is filmed like a laboratory, and the reverse.
    assert h2(predictions, ["face"], "laboratory", "films").verdict == NOT_SUPPORTED


def test_h2_names_the_sizes_with_which_it_is_confounded(predictions, worlds):
    sizes = [f"{len(crops.frames)} frames of {crops.frames['subject'].nunique()} subjects "
             f"({crops.label})" for crops in worlds]  # fmt: skip
    said = h2(predictions, ["face"], "films", "laboratory").sentence
    assert f"Confounded with size: {sizes[0]} and {sizes[1]}." in said


def test_h2_follows_variety_at_equal_sizes_and_is_mostly_undecided_without_any():
    def judged(in_the_wild: float, in_the_laboratory: float) -> list[str]:
        verdicts = []
        for seed in range(10):
            wild = planted.deformed("wild", in_the_wild, seed)
            lab = planted.deformed("lab", in_the_laboratory, 100 + seed)
            table = pd.concat([fit(wild, lab, "line"), fit(lab, wild, "line")], ignore_index=True)
            claim = h2(table, ["line"], "wild", "lab")
            assert "Both are of one size: 180 frames of 30 subjects (wild)" in claim.sentence
            verdicts.append(claim.verdict)
        return verdicts

    assert judged(0.5, 0.0) == [SUPPORTED] * 10
    assert judged(0.0, 0.5) == [NOT_SUPPORTED] * 10
    assert judged(0.3, 0.3).count(UNDECIDED) >= 8


def test_h3_and_h5_are_no_verdict_where_nothing_was_measured(predictions):
    assert claims.expected_ranges().verdict == NOT_MEASURED
    missing = claims.transfer_beats_scratch(predictions, [], "", "", "films", bootstrap=DRAW)
    assert missing.verdict == NOT_MEASURED and missing.data == "none"


def h4(predictions: pd.DataFrame, resnet: str | None, vgg: str | None, **settings: tuple):
    return claims.resnet_against_vgg(
        predictions, resnet, vgg, "films", "laboratory", settings, bootstrap=DRAW
    )


def test_h4_turns_with_who_is_better_where(predictions):
    def verdicts(resnet: str, vgg: str) -> list[str]:
        return [claim.verdict for claim in h4(predictions, resnet, vgg)]

    assert verdicts("face", "jaw") == [SUPPORTED, NOT_SUPPORTED]
    assert verdicts("jaw", "face") == [NOT_SUPPORTED, SUPPORTED]


def test_h4_is_mostly_undecided_where_two_architectures_see_equally_well(worlds):
    """Both see the same faces through noise of their own."""
    verdicts = []
    for number in range(6):
        table = pd.concat([
            fit(train, other, name, blur=blur)
            for train, other in (worlds, worlds[::-1])
            for name, blur in (("resnet", 2 * number), ("vgg", 2 * number + 1))
        ])  # fmt: skip
        verdicts += [claim.verdict for claim in h4(table, "resnet", "vgg")]
    assert verdicts.count(UNDECIDED) >= 10


def test_h4_has_no_verdict_where_recipes_differ_in_more_than_was_searched(predictions):
    searched = h4(predictions, "face", "jaw", lr=(0.1, 0.2), epochs=(4, 8))
    assert [claim.verdict for claim in searched] == [SUPPORTED, NOT_SUPPORTED]
    said = "the same recipe but for lr 0.1 and 0.2, epochs 4 and 8 (ResNet and VGG)"
    assert all(said in claim.sentence for claim in searched)
    other = h4(predictions, "face", "jaw", lr=(0.1, 0.2), batch_size=(16, 32))
    assert [claim.verdict for claim in other] == [UNDECIDED] * 2
    assert all("recipes differ (batch_size)" in claim.sentence for claim in other)
    assert [claim.effect for claim in other] == [claim.effect for claim in searched]


def test_h4_is_not_measured_where_a_family_is_missing(predictions):
    found = h4(predictions, "face", None)
    assert [(claim.verdict, claim.data) for claim in found] == [(NOT_MEASURED, "none")] * 2
    assert "does not have a network of each family" in found[0].comparison


def test_the_power_is_extrapolated_by_the_parts_of_the_variance():
    rng = np.random.default_rng(0)
    base = made_up.predictions(subjects=40)
    tables = []
    for model, seed in itertools.product(("a", "b"), range(4)):
        pred = base["valence_true"] * 0.5 + rng.normal(0, 0.15) + rng.normal(0, 0.2, len(base))
        tables.append(base.assign(model=model, seed=seed, valence_pred=pred.clip(-1, 1)))
    found = power(pd.concat(tables), "a", "b", "A", {"the same": (40, 4), "more": (160, 8),
                         "more seeds": (40, 8)}, bootstrap=DRAW)  # fmt: skip
    assert found["study"].tolist() == ["this study", "the same", "more", "more seeds"]
    assert found["how"].tolist() == ["measured", *["extrapolated"] * 3]
    here, same, more, seeds = found["smallest"]
    assert same == pytest.approx(here) and more < seeds < here
    # Where seeds are most of the variance, four times the subjects help less than twice the seeds.
    (subjects,) = power(pd.concat(tables), "a", "b", "A", {"x": (160, 4)}, bootstrap=DRAW)[
        "smallest"
    ][1:]
    assert seeds < subjects < here


def test_a_difference_as_large_as_the_smallest_is_decided_four_times_in_five():
    """In many draws of new subjects, for the same networks."""
    decided, smallest = [], []
    for draw in range(100):
        base = made_up.predictions(draw, subjects=24)
        worse = base.assign(model="n")
        rng = np.random.default_rng(draw)
        for d in DIMENSIONS:
            worse[f"{d}_pred"] = base[f"{d}_pred"] + rng.normal(0, 0.1, len(base))
        pair = [{"model": "m"}, {"model": "n"}]
        d = mean_difference(pd.concat([base, worse]), [pair], bootstrap=Bootstrap(60))
        decided.append(d.value)
        smallest.append(Spread.sum(d.sources.subjects).detectable(0.95))  # networks stay
    # The spread between draws is what `smallest` was computed from: 1.96 + 0.84 of it, or so.
    assert np.mean(smallest) == pytest.approx(2.9 * np.std(decided), rel=0.2)


def test_h5_turns_with_which_start_is_the_better_one(predictions):
    here = {"train_corpus": "films", "test_corpus": "films"}
    good, bad = {"model": "face"} | here, {"model": "jaw"} | here
    for pair, expected in (((good, bad), SUPPORTED), ((bad, good), NOT_SUPPORTED)):
        claim = claims.transfer_beats_scratch(
            predictions, [pair], "a dream", "Both slept for 8 hours", "films", bootstrap=DRAW
        )
        assert claim.verdict == expected and "started from a dream" in claim.sentence
        assert claim.sentence.endswith("Both slept for 8 hours.")


def h6(table: pd.DataFrame, networks: list[str], wild: str = "films") -> claims.Claim:
    return claims.labels_explain_neutral(table, networks, wild, bootstrap=DRAW)


def test_h6_turns_when_neutral_faces_look_like_the_opposite_of_the_mean_label(worlds):
    # Few frames are neutral, and it takes many people with one to tell.
    world = WildWorld(**{**FILMS.__dict__, "clips": 600, "subjects": 300, "difficulty": 0.5})
    mean = planted.wild(world, "films").va.mean(axis=0)
    assert mean[0] < 0 < mean[1]  # films lean to the unpleasant and excited

    def contrary(va: np.ndarray, units: np.ndarray) -> np.ndarray:
        return action_units(np.array([0.45, -0.35])) if (va == 0).all() else units

    crops = planted.wild(world, "films", change=contrary)
    # What is expected from the labels is no better than nothing where faces say the opposite.
    assert h6(fit(crops, worlds[1], "line"), ["line"]).verdict == NOT_SUPPORTED


def shrunk_at_neutral(shrunk: float, seed: int = 0, subjects: int = 500) -> pd.DataFrame:
    """Predictions for neutral faces that are so large a part of what is expected of them."""
    rng = np.random.default_rng(seed)
    n, blind = 8 * subjects, 0.75  # r^2 is 1/4
    true = rng.normal((-0.3, 0.4), 0.25, (n, 2))
    neutral = np.arange(n) % 4 == 0
    true[neutral] = 0
    mean = true.mean(axis=0)
    pred = mean + (1 - blind) * (true - mean) + rng.normal(0, 0.01, (n, 2))
    pred += np.sqrt(blind * (1 - blind)) * true.std(axis=0) * rng.normal(size=(n, 2))
    pred[neutral] = shrunk * blind * mean + rng.normal(0, 0.02, (neutral.sum(), 2))
    table = pd.DataFrame({"valence_true": true[:, 0], "arousal_true": true[:, 1],
                          "valence_pred": pred[:, 0], "arousal_pred": pred[:, 1]})  # fmt: skip
    return table.assign(
        subject=(np.arange(n) // 8).astype(str), clip=(np.arange(n) // 4).astype(str),
        frame=np.arange(n) % 4, fold=np.arange(n) // 8 % 4, seed=0, model="line", recipe="x",
        train_corpus="films", test_corpus="films", split="subject",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shrunk", "expected"),
    [(1.0, SUPPORTED), (0.9, SUPPORTED), (0.2, NOT_SUPPORTED), (0.0, NOT_SUPPORTED)],
)
def test_h6_asks_for_the_size_and_not_for_the_direction(shrunk, expected):
    claim = h6(shrunk_at_neutral(shrunk), ["line"])
    assert claim.verdict == expected and "500 subjects have such frames" in claim.sentence


def two_networks_of_two_seeds() -> dict[tuple[str, int], pd.DataFrame]:
    """By (network, seed): one sees neutral faces as expected, one half so; seeds differ."""
    table = shrunk_at_neutral(1.0, subjects=60)
    neutral = (table[["valence_true", "arousal_true"]] == 0).all(axis=1)
    trainings = {}
    for (name, part), seed in itertools.product((("m", 1.0), ("n", 0.6)), (0, 1)):
        rng = np.random.default_rng([seed, name == "n"])
        pred = table[["valence_pred", "arousal_pred"]] + rng.normal(0, 0.02, (len(table), 2))
        pred[neutral] *= part + 0.1 * seed
        trainings[name, seed] = table.assign(model=name, seed=seed, **pred)
    return trainings


def test_h6_is_one_average_over_networks_and_seeds_whatever_their_order():
    trainings = two_networks_of_two_seeds()
    alone = {key: h6(rows, [key[0]]) for key, rows in trainings.items()}
    networks = ["m", "n"]
    usual = h6(pd.concat(trainings.values()), networks)
    assert usual.effect == pytest.approx(np.mean([claim.effect for claim in alone.values()]))
    assert (usual.unit, usual.seeds) == (METHOD, 2)
    # Seeds of one network in the other order, rows shuffled: the same numbers.
    keys = [("m", 1), ("n", 0), ("n", 1), ("m", 0)]
    mixed = pd.concat([trainings[key].sample(frac=1, random_state=1) for key in keys])
    other = h6(mixed, networks)
    numbers = [[getattr(claim, name) for name in ("effect", "low", "high", "smallest")]
               for claim in (usual, other)]  # fmt: skip
    assert numbers[0] == pytest.approx(numbers[1])


def test_h6_has_one_interval_and_not_the_mean_of_several():
    """Two networks that err by the same subjects' habits in opposite ways: their average is sure,
    although neither of them is."""
    trainings = two_networks_of_two_seeds()
    one = trainings["m", 0]
    habit = one["subject"].astype(int).map(lambda s: np.random.default_rng(s).normal(0, 0.3))
    networks = {
        name: one.assign(model=name, valence_pred=one["valence_pred"] - sign * habit,
                         arousal_pred=one["arousal_pred"] + sign * habit)
        for name, sign in (("m", 1), ("n", -1))
    }  # fmt: skip
    both = h6(pd.concat(networks.values()), ["m", "n"])
    half = [(c.high - c.low) / 2 for c in (h6(rows, [name]) for name, rows in networks.items())]
    assert (both.high - both.low) / 2 < 0.3 * np.mean(half)


def test_the_table_has_a_row_per_claim_with_its_unit_and_sentence(predictions):
    table = claims.claims_frame([*h4(predictions, "face", "jaw"), claims.expected_ranges()])
    assert table["claim"].tolist() == ["H4", "H4", "H3"]
    assert table["data"].tolist() == ["films", "laboratory", "none"]
    assert table["unit"].tolist() == [TRAINED, TRAINED, "none"]
    assert table["seeds"].tolist() == [1, 1, 0]
    assert table["thesis"].str.contains("section").all()
    for row in table[table["seeds"] > 0].to_dict("records"):
        low, high = (f"{row[name]:+.2f}".replace("-", "−") for name in ("low", "high"))
        assert f"[{low}, {high}]" in row["sentence"] and row["unit"] in row["sentence"]
        assert row["data"] in row["sentence"]
