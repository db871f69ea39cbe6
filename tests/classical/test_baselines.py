import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pandas as pd
import pytest
from sklearn.svm import SVR

from vaaffect.base.errors import UserError
from vaaffect.classical import baselines, methods
from vaaffect.classical.baselines import (
    CEILING,
    CONSTANT,
    DISPLAY,
    constant_predictor,
    fair_baselines,
    fit_baselines,
    landmark_ceiling,
    reads_landmarks,
)
from vaaffect.classical.features import FEATURES
from vaaffect.classical.methods import BASELINES, SumOfKernelsSVR, alignment, preparation
from vaaffect.corpora.afew_va import load_afew_va
from vaaffect.corpora.crops import Crops, build_crops
from vaaffect.corpora.folds import leaking_folds, subject_folds
from vaaffect.results.predictions import check_predictions
from vaaffect.simulator.worlds import WildWorld
from vaaffect.simulator.writers import write_afew_va

PRED = ["valence_pred", "arousal_pred"]
TRUE = ["valence_true", "arousal_true"]


@pytest.fixture(scope="module")
def splits(tiny_crops):
    return subject_folds(tiny_crops.frames, folds=2, val_share=0.34)


@pytest.fixture(scope="module")
def everything(tiny_crops, splits) -> pd.DataFrame:
    """Every baseline on the tiny corpus."""
    return fit_baselines(tiny_crops, splits, BASELINES)


@pytest.fixture(scope="module")
def small_crops(tmp_path_factory) -> Crops:
    """More people than in the tiny corpus, on small pictures that are quickly drawn."""
    root = tmp_path_factory.mktemp("small")
    write_afew_va(root / "corpus", WildWorld(70, 35, (2, 2), seed=3, size=(240, 192)))
    return build_crops(load_afew_va(root / "corpus"), 32, cache=root / "crops")


def with_other(crops, rows, *, images=None, landmarks=None, va=None):
    """Crops in which some rows have other pictures, landmarks or labels."""
    changed = {"images": np.array(crops.images), "landmarks": crops.landmarks.copy()}
    frames = crops.frames.copy()
    if images is not None:
        changed["images"][rows] = images
    if landmarks is not None:
        changed["landmarks"][rows] = landmarks
    if va is not None:
        frames.loc[frames.index[rows], ["valence", "arousal"]] = va
    return dataclasses.replace(crops, frames=frames, **changed)


def test_every_baseline_predicts_every_frame_once(tiny_crops, everything):
    check_predictions(everything)
    assert list(everything["model"].unique()) == list(BASELINES)
    assert (everything.groupby("model").size() == len(tiny_crops.frames)).all()
    assert set(everything["recipe"]) == {"inner validation"} and set(everything["split"]) == {
        "subject"
    }
    assert everything[PRED].abs().to_numpy().max() <= 1
    assert set(DISPLAY) == {CONSTANT, CEILING, *BASELINES}


def beats_constant(crops, splits, name, share, dimensions=("valence", "arousal")) -> None:
    """Of the constant's squared error, at most `share` is left in each dimension."""
    table = fit_baselines(crops, splits, [name])
    constant = constant_predictor(crops, splits)
    for d in dimensions:
        mine, limit = (((t[f"{d}_pred"] - t[f"{d}_true"]) ** 2).mean() for t in (table, constant))
        assert mine < share * limit, (name, d, mine / limit)


@pytest.mark.parametrize(
    "name", ["geometry-ridge", "geometry-svr", "geometry-forest", "multikernel-svr"]
)
def test_landmarks_beat_the_constant_on_simulated_faces(name, small_crops):
    splits = subject_folds(small_crops.frames, folds=2, val_share=0.34)
    beats_constant(small_crops, splits, name, 0.8)


@pytest.mark.parametrize("name", ["hog-ridge", "hog-svr", "lbp-svr", "multikernel-svr"])
def test_pictures_beat_the_constant_where_they_show_the_label(name, tiny_crops):
    # Stripes instead of faces: their direction is the valence, their distance the arousal.
    rng = np.random.default_rng(0)
    va = rng.uniform(-0.8, 0.8, (160, 2))
    angle, pace = va[:, 0, None, None] + 0.8, 0.5 + 0.3 * va[:, 1, None, None]
    y, x = np.mgrid[:64, :64]
    phase = pace * (x * np.cos(angle) + y * np.sin(angle)) + 6.3 * rng.random((160, 1, 1))
    stripes = (127 + 100 * np.sin(phase)).astype(np.uint8)
    frames = tiny_crops.frames.iloc[np.arange(160) % 60].reset_index(drop=True)
    subjects = [f"s{i // 4:08x}" for i in range(160)]
    frames = frames.assign(valence=va[:, 0], arousal=va[:, 1], clip=subjects, subject=subjects)
    crops = dataclasses.replace(
        tiny_crops,
        images=stripes[..., None].repeat(3, axis=3),
        landmarks=tiny_crops.landmarks[np.arange(160) % 60],  # these tell nothing
        frames=frames.assign(frame=np.arange(160)),
    )
    splits = subject_folds(crops.frames, folds=2, val_share=0.34)
    # HOG knows where edges run in a cell, and not how many there are.
    seen = ("valence",) if name.startswith("hog") else ("valence", "arousal")
    beats_constant(crops, splits, name, 0.6, seen)
    if name == "multikernel-svr":
        with pytest.raises(AssertionError):
            beats_constant(crops, splits, "geometry-svr", 0.9)


def test_who_reads_landmarks():
    names = [*BASELINES, "vgg11_bn", "affwildnet_resnet10"]
    geometry = {"geometry-ridge", "geometry-svr", "geometry-forest", "multikernel-svr"}
    assert set(filter(reads_landmarks, names)) == geometry | {"affwildnet_resnet10"}
    assert fair_baselines(names, exact_landmarks=False) == names
    pixels = {"hog-ridge", "hog-svr", "lbp-svr", "vgg11_bn"}
    assert set(fair_baselines(names, exact_landmarks=True)) == pixels


def test_the_ceiling_is_ridge_on_exact_landmarks_and_no_method(tiny_crops, splits, everything):
    rng = np.random.default_rng(0)
    points = tiny_crops.landmarks + rng.normal(0, 2, tiny_crops.landmarks.shape)
    found = dataclasses.replace(tiny_crops, landmarks=points.astype(np.float32), key="found")
    # The tiny corpus has exact landmarks; a copy of it gets found ones.
    ceiling = landmark_ceiling(tiny_crops, splits)
    check_predictions(ceiling)
    assert set(ceiling["model"]) == {CEILING} and CEILING not in BASELINES
    assert "ceiling" in DISPLAY[CEILING] and "exact landmarks" in DISPLAY[CEILING]
    ridge = everything[everything["model"] == "geometry-ridge"]
    assert np.array_equal(ceiling[PRED], ridge[PRED])
    key = ["clip", "frame", "fold"]
    beside = fit_baselines(found, splits, ["geometry-ridge"])
    assert ceiling[key].equals(beside[key])  # the same frames in the same folds

    def error(table):
        return np.mean((table[PRED].to_numpy() - table[TRUE].to_numpy()) ** 2)

    assert error(ceiling) < 0.8 * error(beside)
    with pytest.raises(UserError, match="unknown baseline"):
        fit_baselines(tiny_crops, splits, [CEILING])


@pytest.mark.parametrize("name", BASELINES)
def test_other_test_rows_and_labels_change_nothing(name, tiny_crops, splits, everything):
    split = splits[0]
    spoiled, others = split.test[:5], split.test[5:]
    rng = np.random.default_rng(0)
    changed = with_other(
        tiny_crops,
        spoiled,
        images=rng.integers(0, 256, (5, 32, 32, 3)),
        landmarks=1e4 * rng.normal(size=(5, 68, 2)),
    )
    changed = with_other(changed, split.test, va=0.9)
    before = everything[(everything["model"] == name) & (everything["fold"] == 0)]
    after = fit_baselines(changed, [split], [name])
    assert np.array_equal(before[PRED].to_numpy()[5:], after[PRED].to_numpy()[5:])
    assert not np.allclose(before[PRED].to_numpy()[:5], after[PRED].to_numpy()[:5], atol=1e-3)
    assert len(others) > 10 and (after[TRUE] == 0.9).all(axis=None)


@pytest.mark.parametrize("name", BASELINES)
def test_training_labels_teach_and_inner_validation_labels_choose(name, tiny_crops, splits):
    split = splits[0]
    before = fit_baselines(tiny_crops, [split], [name])[PRED].to_numpy()
    mirrored = with_other(tiny_crops, split.train, va=-tiny_crops.va[split.train])
    mirrored = with_other(mirrored, split.val, va=-tiny_crops.va[split.val])
    after = fit_baselines(mirrored, [split], [name])[PRED].to_numpy()
    assert np.corrcoef(before[:, 0], after[:, 0])[0, 1] < -0.5


def test_hyperparameters_are_those_of_the_smallest_error_on_the_inner_validation():
    rng = np.random.default_rng(0)
    x, x_val = rng.normal(size=(40, 5)), rng.normal(size=(30, 5))
    candidates = methods._ridges([x], 0)
    y, y_val = x[:, 0], x_val[:, 0]
    assert methods.choose(candidates, x, y, x_val, y_val).alpha == 0.1
    # Labels that training tells nothing about: the most cautious candidate errs least.
    assert methods.choose(candidates, x, y, x_val, -y_val).alpha == 10000


@pytest.mark.parametrize("kind", ["geometry", "hog", "lbp"])
def test_preparation_is_fitted_on_what_it_is_given_and_no_more(kind):
    rows = np.random.default_rng(0).gamma(1.0, size=(30, 200))
    steps = preparation(kind, 30, 0).fit(rows)
    prepared = steps.transform(rows)
    np.testing.assert_allclose(prepared.mean(axis=0), 0, atol=1e-9)
    assert prepared.shape == (30, 200 if kind == "geometry" else 29)
    far = np.vstack([rows, 1e6 * rows[:3]])
    np.testing.assert_allclose(steps.transform(far)[:30], prepared, atol=1e-9)


def test_the_same_seed_gives_the_same_bytes(tiny_crops, splits, everything, monkeypatch):
    again = fit_baselines(tiny_crops, splits[:1], BASELINES)
    first = everything[everything["fold"] == splits[0].fold].reset_index(drop=True)
    assert again.to_csv() == first.to_csv()
    monkeypatch.setattr(baselines, "at_once", lambda gigabytes: 1)
    names = ["multikernel-svr", "geometry-forest"]
    alone = fit_baselines(tiny_crops, splits, names)
    for name in names:
        of_name, mine = (table[table["model"] == name].reset_index(drop=True)
                         for table in (alone, everything))  # fmt: skip
        assert of_name.to_csv() == mine.to_csv()
    other = fit_baselines(tiny_crops, splits, ["geometry-forest"], seed=1)
    assert not np.array_equal(other[PRED], alone.loc[alone["model"] == names[1], PRED])


def test_another_corpus_is_predicted_whole_at_any_size(tiny_crops, splits):
    turned = tiny_crops.frames.index[::-1]
    other = dataclasses.replace(
        tiny_crops,
        label="other",
        landmarks=tiny_crops.landmarks[::-1],
        images=tiny_crops.images[::-1],
        frames=tiny_crops.frames.loc[turned],
    )
    large = dataclasses.replace(other, label="large", landmarks=2 * other.landmarks)
    large = dataclasses.replace(large, images=large.images.repeat(2, axis=1).repeat(2, axis=2))
    table = fit_baselines(tiny_crops, splits, ["multikernel-svr"], [other, large])
    check_predictions(table)
    home, there, far = (table[table["test_corpus"] == c.label] for c in (tiny_crops, other, large))
    assert len(there) == len(far) == 2 * len(tiny_crops.frames)
    assert set(there["train_corpus"]) == {tiny_crops.label}
    both = home.merge(there, on=["clip", "frame", "fold"], suffixes=("", "_there"))
    assert len(both) == len(home)
    np.testing.assert_allclose(both["valence_pred"], both["valence_pred_there"], atol=1e-6)
    assert np.corrcoef(there["valence_pred"], far["valence_pred"])[0, 1] > 0.9


@pytest.mark.parametrize("by", ["clip", "frame"])
def test_leaking_folds_say_so_and_are_refused_as_honest_ones(by, tiny_crops):
    leaking = leaking_folds(tiny_crops.frames, by, folds=2, val_share=0.34)
    posing = [dataclasses.replace(split, by="subject") for split in leaking]
    for predict in (
        lambda splits: fit_baselines(tiny_crops, splits, ["geometry-ridge"]),
        lambda splits: constant_predictor(tiny_crops, splits),
    ):
        table = predict(leaking)
        check_predictions(table)
        assert set(table["split"]) == {by}
        with pytest.raises(AssertionError, match=r"subject s\w+ is in \w+ and in"):
            predict(posing)


def test_unknown_names_are_refused_with_the_nearest(tiny_crops, splits):
    with pytest.raises(UserError, match="unknown baseline 'hog-svm'; the nearest is 'hog-svr'"):
        fit_baselines(tiny_crops, splits, ["geometry-ridge", "hog-svm"])
    with pytest.raises(UserError, match="no baseline is named"):
        fit_baselines(tiny_crops, splits, [])


def test_several_kernels_are_used_and_weighed_by_the_labels():
    rng = np.random.default_rng(0)
    blocks = [rng.normal(size=(240, 2)) for _ in range(3)]
    y = 0.4 * np.tanh(blocks[0][:, 0]) + 0.4 * np.tanh(blocks[1][:, 1])  # the third says nothing
    x = np.hstack(blocks)
    train, test = np.arange(160), np.arange(160, 240)

    def error(model, columns=slice(None), x_test=x[test]):
        model.fit(x[train][:, columns], y[train])
        return np.mean((model.predict(x_test[:, columns]) - y[test]) ** 2)

    together = SumOfKernelsSVR((2, 2, 2), (0.5, 0.5, 0.5), 3)
    of_all = error(together)
    assert together.weights_.sum() == pytest.approx(1)
    assert together.weights_[:2].min() > 0.3 and together.weights_[2] < 0.1
    for alone in (slice(0, 2), slice(2, 4)):
        assert of_all < 0.3 * error(SumOfKernelsSVR((2,), (0.5,), 3), alone)
    for block in (0, 1):  # each is really read when predicting
        spoiled = x[test].copy()
        spoiled[:, 2 * block : 2 * block + 2] = 0
        assert error(together, x_test=spoiled) > 3 * of_all
    assert np.allclose(SumOfKernelsSVR((2, 4), (1, 1), 1).fit(x, 0 * y).weights_, 0.5)


def test_alignment_is_the_cosine_of_centred_matrices():
    rng = np.random.default_rng(0)
    points, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    kernel = points @ points.T
    h = np.eye(20) - 1 / 20
    a, b = h @ kernel @ h, h @ np.outer(y, y) @ h
    expected = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    assert alignment(kernel, y) == pytest.approx(expected)
    assert alignment(np.outer(y, y), y) == pytest.approx(1)
    assert alignment(kernel, np.ones(20)) == 0


def test_a_large_corpus_is_predicted_in_parts(monkeypatch, tiny_crops, splits, everything):
    monkeypatch.setattr(baselines, "AT_ONCE", 7)
    names = ["geometry-svr", "multikernel-svr"]
    table = fit_baselines(tiny_crops, splits, names)
    whole = everything[everything["model"].isin(names)].set_index(["model", "clip", "frame"])[PRED]
    found = table.set_index(["model", "clip", "frame"])[PRED].loc[whole.index]
    np.testing.assert_allclose(found, whole, atol=1e-6)


def test_predictions_by_a_product_of_matrices_are_those_of_scikit_learn():
    x = np.random.default_rng(0).normal(size=(80, 4))
    fitted = methods.FastSVR(C=3, gamma=0.2, epsilon=0.05).fit(x, x[:, 0] * x[:, 1])
    np.testing.assert_allclose(fitted.predict(x), SVR.predict(fitted, x), atol=1e-12)


def test_a_large_training_part_is_thinned_evenly(monkeypatch, tiny_crops, splits):
    monkeypatch.setattr(baselines, "MOST_ROWS", 10)
    rows = np.arange(100, 200)
    assert list(baselines.thinned(rows)[[0, -1]]) == [100, 199]
    assert len(baselines.thinned(rows)) == 10 and np.ptp(np.diff(baselines.thinned(rows))) == 0
    assert list(baselines.thinned(rows[:10])) == list(rows[:10])
    table = fit_baselines(tiny_crops, splits, ["hog-svr"])
    assert len(table) == len(tiny_crops.frames)  # testing is not thinned


def test_the_cache_is_read_checked_and_belongs_to_its_inputs(
    tiny_crops, splits, tmp_path, monkeypatch
):
    names, fit, fitted = ["geometry-ridge", "hog-ridge"], baselines._fit, []

    def counted(folder, name, *inputs):
        fitted.append(name)
        return fit(folder, name, *inputs)

    def call(crops=tiny_crops, splits=splits, names=names, **options):
        fitted.clear()
        return fit_baselines(crops, splits, names, cache=tmp_path / "cache", **options)

    monkeypatch.setattr(baselines, "_fit", counted)
    first = call(names=names[:1])
    assert fitted == ["geometry-ridge"] * 2
    both = call()
    assert fitted == ["hog-ridge"] * 2  # only what was missing
    assert both.iloc[: len(first)].to_csv() == first.to_csv()
    pd.testing.assert_frame_equal(both, fit_baselines(tiny_crops, splits, names))
    # Nothing is measured when nothing is missing.
    with monkeypatch.context() as patch:
        patch.setattr(baselines, "_measure", None)
        pd.testing.assert_frame_equal(call(), both)
    assert not fitted
    for change in (
        {"seed": 1},
        {"crops": dataclasses.replace(tiny_crops, key="another")},
        {"elsewhere": [dataclasses.replace(tiny_crops, label="other")]},
        {"splits": subject_folds(tiny_crops.frames, 2, 0.34, seed=5)},
    ):
        call(**change)
        assert len(fitted) == 4, change
    (folder,) = (tmp_path / "cache").glob("hog-ridge_subject_fold0_seed1_*")
    assert "Ridge(alpha=" in json.loads((folder / "manifest.json").read_text())["valence"]
    (folder / "predictions.parquet").write_bytes(b"")
    with pytest.raises(UserError, match=r"predictions\.parquet: is damaged .*; delete the folder"):
        call(seed=1)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        fit_baselines(tiny_crops, splits, names[:1], cache=blocked)


def test_two_studies_at_once_fit_each_baseline_once(tiny_crops, splits, tmp_path, monkeypatch):
    names = ["geometry-ridge", "geometry-svr"]
    both_measured, fit, fitted = Barrier(2), baselines._fit, []

    def measured(kind, crops):
        both_measured.wait(60)  # by then, both have seen an empty cache
        return FEATURES[kind](crops.landmarks)

    def counted(folder, *inputs):
        fitted.append(folder)
        return fit(folder, *inputs)

    monkeypatch.setattr(baselines, "_measure", measured)
    monkeypatch.setattr(baselines, "_fit", counted)
    with ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(fit_baselines, tiny_crops, splits, names, cache=tmp_path) for _ in range(2)
        ]
        one, other = (call.result() for call in calls)
    assert len(fitted) == len(set(fitted)) == len(names) * len(splits)
    pd.testing.assert_frame_equal(one, other)


def test_other_code_has_other_folders_in_the_cache(tiny_crops, splits, tmp_path, monkeypatch):
    fit_baselines(tiny_crops, splits, ["geometry-ridge"], cache=tmp_path)
    monkeypatch.setattr(baselines, "code_digest", lambda *places, but: "of other code")
    fit_baselines(tiny_crops, splits, ["geometry-ridge"], cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2 * len(splits)
