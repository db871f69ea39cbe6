"""Smiles against neutral faces: what is counted, how ties count, and whether intervals hold."""

import numpy as np
import pandas as pd
import pytest

from vaaffect.base.errors import UserError
from vaaffect.results import Bootstrap, smile_effects, smile_gaps, smiles

DRAW = Bootstrap(300)


def people_of(count: int, **traits) -> pd.DataFrame:
    unknown = {"gender": None, "group": None, "age": np.nan}
    return pd.DataFrame({"person": [f"{i:03}" for i in range(count)], **(unknown | traits)})


def predictions(valence: np.ndarray, arousal: np.ndarray | None = None, model: str = "m"):
    """A table in which the smile of person p moves training t's valence by valence[t, p]."""
    valence = np.atleast_2d(np.asarray(valence, float))
    arousal = np.zeros_like(valence) if arousal is None else np.atleast_2d(arousal)
    tables = []
    for training, (shift, other) in enumerate(zip(valence, arousal, strict=True)):
        neutral = np.linspace(-0.3, 0.2, len(shift))  # where a person starts does not matter
        tables.append(
            pd.DataFrame({
                "train_corpus": "A", "model": model, "recipe": "r", "fold": training // 2,
                "seed": training % 2, "person": [f"{i:03}" for i in range(len(shift))],
                "valence_neutral": 0.0, "valence_smiling": shift,
                "arousal_neutral": neutral, "arousal_smiling": neutral + other,
            })
        )  # fmt: skip
    return pd.concat(tables, ignore_index=True)[smiles.SMILE_COLUMNS]


def row_of(table: pd.DataFrame, measure: str, group: str = smiles.EVERYBODY) -> pd.Series:
    (row,) = table[(table["measure"] == measure) & (table["group"] == group)].to_dict("records")
    return pd.Series(row)


def test_a_proportion_counts_people_and_ties_count_one_half():
    shift = [0.2, 0.1, 0.3, -0.1, 0.0, 0.4]
    table = smile_effects(predictions(shift, [[0.1] * 6]), people_of(6), bootstrap=DRAW)
    assert row_of(table, smiles.HIGHER)["value"] == pytest.approx(4.5 / 6)
    assert row_of(table, smiles.SHIFT)["value"] == pytest.approx(np.mean(shift))
    assert row_of(table, smiles.AROUSAL)["value"] == pytest.approx(0.1)
    assert set(table["measure"]) == set(smiles.MEASURES) and len(table) == 3
    higher = row_of(table, smiles.HIGHER)
    assert 0 < higher["low"] < higher["value"] < higher["high"] < 1


def test_a_constant_has_one_half_and_no_shift():
    table = smile_effects(predictions(np.zeros(9)), people_of(9), bootstrap=DRAW)
    higher, shift = row_of(table, smiles.HIGHER), row_of(table, smiles.SHIFT)
    assert (higher["value"], higher["low"], higher["high"]) == (0.5, 0.5, 0.5)
    assert (shift["value"], shift["low"], shift["high"]) == (0, 0, 0)


def test_where_everybody_agrees_the_bound_is_the_binomial_s():
    for sign, bounds in ((1, (0.025 ** (1 / 20), 1)), (-1, (0, 1 - 0.025 ** (1 / 20)))):
        table = smile_effects(predictions(np.full(20, 0.1 * sign)), people_of(20), bootstrap=DRAW)
        higher = row_of(table, smiles.HIGHER)
        assert (higher["low"], higher["high"]) == pytest.approx(bounds)


def test_trainings_are_averaged_and_their_spread_widens_the_interval():
    rng = np.random.default_rng(0)
    person, training = rng.normal(0.1, 0.1, 40), np.array([-0.1, 0.0, 0.05, 0.15])
    alike, spread = np.tile(person, (4, 1)), person + training[:, None]
    few, apart = (
        row_of(smile_effects(predictions(v), people_of(40), bootstrap=DRAW), smiles.SHIFT)
        for v in (alike, spread)
    )
    assert few["trainings"] == apart["trainings"] == 4
    assert apart["value"] == pytest.approx(spread.mean())
    assert few["high"] - few["low"] == pytest.approx(few["high_people"] - few["low_people"])
    assert apart["high_people"] - apart["low_people"] == pytest.approx(few["high"] - few["low"])
    assert apart["high"] - apart["low"] > 2 * (few["high"] - few["low"])
    single = smile_effects(predictions(spread), people_of(40), single=True, bootstrap=DRAW)
    shifts = single[single["measure"] == smiles.SHIFT]
    assert shifts["value"].to_numpy() == pytest.approx(spread.mean(axis=1))
    assert (shifts["low"] == shifts["low_people"]).all() and (shifts["trainings"] == 1).all()


def test_intervals_hold_the_truth_of_new_people_and_new_trainings():
    """Of nominal 95 %: those over both hold it, those over people alone do not."""
    truth = {smiles.SHIFT: 0.08}
    rng = np.random.default_rng(1)
    # A training's offset, a person's own shift, and what is left; the proportion over all three.
    spread, repetitions, held = (0.06, 0.1, 0.05), 250, {}
    truth[smiles.HIGHER] = float((rng.normal(0.08, np.hypot.reduce(spread), 10**6) > 0).mean())
    for repetition in range(repetitions):
        training, person = rng.normal(0, spread[0], (5, 1)), rng.normal(0, spread[1], 60)
        shifts = 0.08 + training + person + rng.normal(0, spread[2], (5, 60))
        draw = Bootstrap(200, repetition)
        table = smile_effects(predictions(shifts), people_of(60), bootstrap=draw)
        for measure, value in truth.items():
            row = row_of(table, measure)
            for kind in ("", "_people"):
                inside = row[f"low{kind}"] <= value <= row[f"high{kind}"]
                held[measure, kind] = held.get((measure, kind), 0) + inside / repetitions
    for measure in truth:
        assert 0.92 <= held[measure, ""] <= 0.99, held
        assert held[measure, "_people"] < 0.85, held


def test_groups_are_those_of_the_people_and_small_ones_are_left_out():
    ages = [18, 24, 25, 34, 35, 60, np.nan, 20, 21, 22]
    people = people_of(
        10, gender=["female"] * 6 + ["male"] * 3 + [None], group=["x"] * 9 + ["y"], age=ages
    )
    shift = np.array([0.1] * 6 + [-0.1] * 3 + [0.1])
    table = smile_effects(predictions(shift), people, bootstrap=DRAW)
    sizes = table.drop_duplicates(["trait", "group"]).set_index(["trait", "group"])["people"]
    assert sizes.to_dict() == {
        (smiles.EVERYBODY, smiles.EVERYBODY): 10, ("gender", "female"): 6, ("group", "x"): 9,
        ("age", "under 25"): 5,
    }  # fmt: skip
    female, x = (row_of(table, smiles.HIGHER, group) for group in ("female", "x"))
    assert female["value"] == 1 and female["low"] > 0.5
    assert x["value"] == pytest.approx(6 / 9)


def test_a_gap_between_groups_is_found_where_it_was_planted_and_only_there():
    rng = np.random.default_rng(2)
    gender = np.array(["female", "male"] * 30)
    people = people_of(60, gender=gender, group=["a", "a", "b", "b"] * 15, age=[20, 30] * 30)
    planted = rng.normal(0.05, 0.1, (3, 60)) + 0.2 * (gender == "female")
    gaps = smile_gaps(predictions(planted), people, bootstrap=DRAW)
    shift = gaps[gaps["measure"] == smiles.SHIFT].set_index(["trait", "group"])
    female = shift.loc[("gender", "female")]
    assert female["value"] == pytest.approx(
        planted[:, gender == "female"].mean() - planted[:, gender == "male"].mean()
    )
    assert female["decided"] and female["low"] > 0.1
    assert (female["people"], female["others"]) == (30, 30)
    assert not shift.loc[("group", "a")]["decided"]
    assert ("gender", "male") not in shift.index  # the same with the other sign
    agreed = np.concatenate([np.full(6, 0.1), np.where(np.arange(54) < 50, 0.1, -0.1)])
    six = people.assign(gender=["female"] * 6 + ["male"] * 54)
    gaps = smile_gaps(predictions(agreed), six, bootstrap=DRAW)  # six of six: no spread, no proof
    assert not gaps[(gaps["trait"] == "gender") & (gaps["measure"] == smiles.HIGHER)][
        "decided"
    ].any()
    three = people.assign(group=["a", "b", "c"] * 20)
    gaps = smile_gaps(predictions(planted), three, bootstrap=DRAW)
    assert list(gaps.query("trait == 'group'")["group"].unique()) == ["a", "b", "c"]
    assert smile_gaps(predictions(planted[:, :4]), people[:4], bootstrap=DRAW).empty


def test_networks_are_kept_apart_and_must_have_seen_the_same_people():
    two = pd.concat([predictions(np.full(6, 0.1)), predictions(np.full(6, -0.1), model="n")])
    table = smile_effects(two, people_of(6), bootstrap=DRAW)
    shifts = table[table["measure"] == smiles.SHIFT].set_index("model")["value"]
    assert shifts.to_dict() == pytest.approx({"m": 0.1, "n": -0.1})
    with pytest.raises(UserError, match="did not all predict the same people"):
        smile_effects(predictions(np.full((2, 6), 0.1))[:-1], people_of(6), bootstrap=DRAW)
    with pytest.raises(UserError, match="did not all predict the same people"):
        smile_effects(predictions(np.full(6, 0.1)), people_of(7), bootstrap=DRAW)
    with pytest.raises(UserError, match="the same person twice"):
        smile_effects(pd.concat([two, two]), people_of(6), bootstrap=DRAW)
