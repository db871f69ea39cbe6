import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import yaml

from vaaffect.base import NOTEBOOKS, UserError
from vaaffect.corpora import data
from vaaffect.corpora.corpus import VARIABLES
from vaaffect.corpora.crops import build_crops
from vaaffect.simulator import world_key
from vaaffect.simulator.writers import read_marker


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "SIMULATED", tmp_path / "simulated")
    monkeypatch.setattr(data, "LANDMARKS", tmp_path / "landmarks")
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)


WILD = {"clips": 2, "subjects": 2, "frames": [1, 2], "seed": 5}
LAB = {"sessions": 2, "subjects": 2, "seconds": [3, 3.5], "seed": 5}
KINDS = [
    (data.wild_corpus, WILD, "AFEW-VA", "VAAFFECT_AFEW_VA"),
    (data.lab_corpus, LAB, "SEMAINE", "VAAFFECT_SEMAINE"),
]


@pytest.mark.parametrize("corpus, world, name, variable", KINDS)
def test_a_simulated_corpus_is_written_once_and_says_what_it_is(
    corpus, world, name, variable, tmp_path
):
    first = corpus("simulated", world)
    assert first.simulated and first.label == f"{name} (simulated)"
    assert first.landmarks.shape == (len(first.frames), 68, 2)
    (root,) = (tmp_path / "simulated").iterdir()
    before = (root / "simulated.json").stat().st_mtime_ns
    again = corpus("simulated", world)
    assert (root / "simulated.json").stat().st_mtime_ns == before
    assert again.fingerprint() == first.fingerprint()


@pytest.mark.parametrize("corpus, world, name, variable", KINDS)
def test_a_simulated_corpus_is_the_same_whoever_drew_it(corpus, world, name, variable, tmp_path):
    """Another machine's pictures differ in a bit here and there: that is no other corpus."""
    first = corpus("simulated", world)
    for path in (tmp_path / "simulated").rglob("*.png"):
        picture = cv2.imread(str(path))
        cv2.imwrite(str(path), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    for path in (tmp_path / "simulated").rglob("*.avi"):
        path.write_bytes(path.read_bytes() + bytes(8))
    shutil.rmtree(tmp_path / "landmarks", ignore_errors=True)
    again = corpus("simulated", world)
    assert again.fingerprint() == first.fingerprint()
    # But what was left out of it, or changed by hand, is another one.
    for changed in (
        replace(again, frames=again.frames.iloc[1:], landmarks=again.landmarks[1:]),
        replace(again, landmarks=again.landmarks + 1),
        replace(again, frames=again.frames.assign(valence=-again.frames["valence"])),
    ):
        assert changed.fingerprint() != first.fingerprint()
    with pytest.raises(ValueError, match="read-only"):
        again.landmarks += 1


def test_a_missing_frame_makes_another_corpus(tmp_path):
    first = data.wild_corpus("simulated", WILD)
    next((tmp_path / "simulated").rglob("*.png")).unlink()
    assert data.wild_corpus("simulated", WILD).fingerprint() != first.fingerprint()


def test_a_world_has_a_key_before_it_is_drawn(tmp_path):
    key = world_key(data.world_of("wild", WILD))
    assert key == world_key(data.world_of("pretext", WILD | {"frames": (1, 2)}))
    assert not list(tmp_path.iterdir())
    data.wild_corpus("simulated", WILD)
    (root,) = (tmp_path / "simulated").iterdir()
    assert root.name == f"wild-{key[:8]}"
    assert read_marker(root)["key"] == key
    with pytest.raises(UserError, match="unknown PRETEXT key 'people'"):
        data.world_of("pretext", {"people": 3})


def test_every_world_of_the_profiles_can_be_drawn():
    kinds = {"WILD": "wild", "LAB": "lab", "PRETEXT": "pretext"}
    tried = 0
    for path in NOTEBOOKS.glob("profiles/*.yaml"):
        for name, world in yaml.safe_load(path.read_text())["all"].items():
            if name in kinds:
                data.world_of(kinds[name], world)
                tried += 1
    assert tried > 5


def test_another_world_is_another_corpus():
    one, other = (data.wild_corpus("simulated", WILD | {"seed": seed}) for seed in (5, 6))
    assert one.fingerprint() != other.fingerprint()


@pytest.mark.parametrize("corpus, world, name, variable", KINDS)
def test_the_real_corpus_is_never_replaced_by_a_simulated_one(
    corpus, world, name, variable, tmp_path, monkeypatch
):
    with pytest.raises(UserError, match=f"{variable} is not set; set it to the folder"):
        corpus("real", world)
    monkeypatch.setenv(variable, str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="no such folder"):
        corpus("real", world)
    assert not list(tmp_path.iterdir())


def test_the_same_loaders_read_real_and_simulated(tiny_root, lab_root, monkeypatch):
    monkeypatch.setenv("VAAFFECT_AFEW_VA", str(tiny_root))
    monkeypatch.setenv("VAAFFECT_SEMAINE", str(lab_root))
    assert data.wild_corpus("real", {}).simulated  # the marker says so, whatever the profile says
    assert data.lab_corpus("real", {}).simulated
    monkeypatch.setenv("VAAFFECT_SEMAINE", str(tiny_root))
    with pytest.raises(UserError, match="holds AFEW-VA, not SEMAINE; set VAAFFECT_SEMAINE"):
        data.lab_corpus("real", {})


def test_a_relative_path_means_the_same_wherever_a_process_runs(tiny_root, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "ROOT", tiny_root.parent)
    monkeypatch.setenv("VAAFFECT_AFEW_VA", tiny_root.name)
    prints = []
    for folder in (tiny_root.parent, tmp_path):
        monkeypatch.chdir(folder)
        corpus = data.wild_corpus("real", {})
        assert corpus.root.is_absolute()
        prints.append(corpus.fingerprint())
    assert prints[0] == prints[1]


def test_a_corpus_is_read_once_per_process_until_a_file_changes(tiny_root, monkeypatch, tmp_path):
    root = shutil.copytree(tiny_root, tmp_path / "copy")
    monkeypatch.setenv("VAAFFECT_AFEW_VA", str(root))
    reads = []
    kind, world, write, load = data._AFEW_VA
    counted = (kind, world, write, lambda path: reads.append(path) or load(path))
    monkeypatch.setitem(data._SOURCES, "wild", counted)
    first = data.wild_corpus("real", {})
    first.frames["valence"] = 0.0  # whoever changes a table changes a copy
    again = data.wild_corpus("real", {})
    assert len(reads) == 1 and again.frames["valence"].abs().sum() > 0
    assert again.fingerprint() == load(root).fingerprint() != first.fingerprint()
    with pytest.raises(ValueError, match="read-only"):
        again.landmarks += 1
    for change in (
        lambda: next(root.rglob("*.png")).unlink(),
        lambda: (root / "01/002/002.json").touch(),
        lambda: (root / "01/003").rename(root / "01/103"),
    ):
        before = len(reads)
        change()
        data.wild_corpus("real", {})
        data.wild_corpus("real", {})
        assert len(reads) == before + 1


def test_unknown_settings_are_refused():
    with pytest.raises(UserError, match=r"unknown WILD key 'people'; such a world has: .*clips"):
        data.wild_corpus("simulated", WILD | {"people": 3})
    with pytest.raises(UserError, match="unknown LAB key 'clips'; such a world has: sessions"):
        data.lab_corpus("simulated", LAB | {"clips": 3})
    with pytest.raises(UserError, match="DATA is 'fake'"):
        data.wild_corpus("fake", WILD)


def test_preparing_makes_both_corpora_and_tells_how_far_it_is():
    steps = []
    hashes = data.prepare_data(
        {"DATA": "simulated", "WILD": WILD, "LAB": LAB}, lambda *step: steps.append(step)
    )
    assert list(hashes) == ["AFEW-VA (simulated)", "SEMAINE (simulated)"]
    last = {what: (done, total) for what, done, total in steps}
    assert list(last) == ["draw AFEW-VA", "draw SEMAINE", "landmarks of SEMAINE"]
    assert all(done == total for done, total in last.values())


def test_other_people_are_drawn_where_a_recipe_starts_from_a_pretext():
    parameters = {"DATA": "simulated", "WILD": WILD, "LAB": LAB}
    parameters |= {"RECIPE": {"weights": "pretext"}, "PRETEXT": WILD | {"seed": 6}}
    hashes = data.prepare_data(parameters, lambda *step: None)
    assert len(set(hashes.values())) == 3
    assert "faces of the pretext task (simulated)" in hashes
    with pytest.raises(UserError, match="unknown PRETEXT key 'people'"):
        data.pretext_crops({"people": 3}, 32)


def test_landmarks_are_exact_where_a_world_has_no_error():
    assert data.landmarks_are_exact("simulated", WILD)
    assert not data.landmarks_are_exact("simulated", WILD | {"landmark_error": 0.05})
    assert not data.landmarks_are_exact("real", WILD)


def test_drawn_landmarks_are_those_that_a_world_without_error_writes(tmp_path):
    erring = WILD | {"landmark_error": 0.1, "size": [180, 144]}
    exact = data.wild_corpus("simulated", WILD | {"size": [180, 144]})
    found = data.wild_corpus("simulated", erring)
    assert np.abs(found.landmarks - exact.landmarks).max() > 1
    frames = found.frames.iloc[::-1]  # in whatever order they are asked for
    drawn = data.drawn_landmarks(frames, erring)
    np.testing.assert_allclose(drawn, exact.landmarks[::-1], atol=1e-3)

    crops = build_crops(found, 16, cache=tmp_path / "crops")
    ceiling = data.with_exact_landmarks(crops, erring)
    np.testing.assert_allclose(ceiling.landmarks, exact.landmarks, atol=1e-3)
    assert ceiling.key != crops.key and ceiling.frames is crops.frames
    other = crops.frames.assign(frame=crops.frames["frame"] + 1)
    with pytest.raises(UserError, match="WILD has no frame 1 of clip 001"):
        data.drawn_landmarks(other, erring)
