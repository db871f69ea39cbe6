"""What a face does not tell about its label, and landmarks as a tracker finds them."""

import hashlib
import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from vaaffect.base import UserError
from vaaffect.corpora import REGIONS, data, load_afew_va
from vaaffect.simulator import WildWorld, exact_landmarks, landmarks_of, wild_truth, write_afew_va
from vaaffect.simulator import landmark_error as tracker
from vaaffect.simulator.worlds import clip_plan, subject
from vaaffect.study.profiles import load_profile

PLAIN = WildWorld(clips=400, subjects=100, frames=(3, 4), seed=8, difficulty=0.3)
KNOBS = {
    "context": (0.2, 0.1), "resting": (0.1, 0.05), "style": 0.4, "expressiveness": 0.3,
    "subtlety": 1.5, "sway": 0.1, "label_offset": 0.1, "mood": 0.4, "landmark_error": 0.03,
}  # fmt: skip
# Made with the simulator as it was before it had any knobs (commit 4acf320).
BEFORE = {
    0.0: "da3f97aba91b48a7c0c42b3d68a89a439b86afe67bd115ec5adbfb3c1fb2c6db",
    0.3: "39a0e2e24f54f8de50ff670bcf26b2782091c506a2c51e6dea252cd0eaab0600",
    1.0: "ceab4950255833ff8acf4a6185d3a6d3f5d2ec7af143a3b358bba1dba55d739e",
}


def plans(world: WildWorld) -> list:
    return [clip_plan(world, index) for index in range(world.clips)]


def rounded(value: object) -> object:
    """Floats to six digits: the last ones differ from machine to machine."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return round(value, 6) + 0.0 if isinstance(value, float) else value


def everything_drawn(world: WildWorld) -> str:
    """A hash of all that decides the files of a world: who, labels, units, scenes, points."""
    digest = hashlib.sha256()
    for plan in plans(world):
        person = plan.subject
        points = [landmarks_of(person.identity, *one, world.size) for one in
                  zip(plan.units, plan.scenes, strict=True)]  # fmt: skip
        parts = [plan.clip, plan.frames, person.actor, asdict(person.identity)]
        parts += [plan.labels.tolist(), plan.affect.tolist(), plan.units.tolist()]
        parts += [[asdict(scene) for scene in plan.scenes]]
        digest.update(json.dumps(rounded(parts), sort_keys=True).encode())
        digest.update(json.dumps(np.round(points, 2).tolist()).encode())
    return digest.hexdigest()


@pytest.mark.parametrize("difficulty", BEFORE)
def test_a_world_without_knobs_is_the_one_that_it_always_was(difficulty):
    world = WildWorld(clips=30, subjects=12, frames=(2, 5), seed=5, difficulty=difficulty)
    assert everything_drawn(world) == BEFORE[difficulty]


@pytest.mark.parametrize("knob", KNOBS)
def test_a_knob_changes_what_it_is_about_and_nothing_else(knob):
    world = replace(PLAIN, clips=60, **{knob: KNOBS[knob]})
    changed = set()
    for before, after in zip(plans(replace(PLAIN, clips=60)), plans(world), strict=True):
        assert before.subject == after.subject
        if knob != "mood":  # a clip of another kind draws other numbers after it
            assert before.scenes == after.scenes
        for name in ("affect", "shown", "labels", "units"):
            if not np.array_equal(getattr(before, name), getattr(after, name)):
                changed.add(name)
    expected = {"context": {"shown", "units"}, "resting": {"shown", "units"},
                "label_offset": {"labels"}, "landmark_error": set(),
                "mood": {"affect", "shown", "labels", "units"}}  # fmt: skip
    if knob != "mood":
        assert changed == expected.get(knob, {"units"})


def test_knobs_are_set_by_profiles_and_on_the_command_line():
    world = data.world_of("wild", {"context": [0.2, 0.1], "style": 0.3})
    assert world == WildWorld(context=(0.2, 0.1), style=0.3)
    assert hash(world) == hash(WildWorld(context=(0.2, 0.1), style=0.3))
    profile = load_profile("demo", changes=["WILD.context=[0.2, 0.1]", "WILD.mood=0.5"])
    world = data.world_of("wild", profile.all["WILD"])
    assert world.context == (0.2, 0.1) and world.mood == 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        {"context": (0.1,)}, {"context": (-0.1, 0.1)}, {"resting": (0.1, -1)}, {"style": -1},
        {"expressiveness": -0.1}, {"subtlety": 0}, {"sway": -1}, {"label_offset": -0.1},
        {"mood": 1.1}, {"landmark_error": -0.1}, {"landmark_error": 2},
    ],
)  # fmt: skip
def test_impossible_knobs_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(UserError, match=f"Impossible simulated world: {name} must"):
        WildWorld(**wrong)


# ---------------------------------------------------------------- what faces show


def test_context_is_of_the_clip_and_leaves_labels_alone():
    before, after = plans(PLAIN), plans(replace(PLAIN, context=(0.2, 0.1)))
    assert all(np.array_equal(a.labels, b.labels) for a, b in zip(before, after, strict=True))
    differences = [plan.shown - plan.affect for plan in after]
    inside = [np.abs(plan.shown).max() < 1 for plan in after]
    for difference, free in zip(differences, inside, strict=True):
        assert not free or np.ptp(difference, axis=0).max() < 1e-9
    of_clips = np.array([difference[0] for difference in differences])
    np.testing.assert_allclose(of_clips.std(axis=0), (0.2, 0.1), rtol=0.12)
    assert np.abs(of_clips.mean(axis=0)).max() < 0.03
    assert abs(np.corrcoef(of_clips.T)[0, 1]) < 0.15


def test_a_resting_display_is_of_the_person():
    shown: dict[int, list] = {}
    for plan in plans(replace(PLAIN, resting=(0.1, 0.05))):
        if np.abs(plan.shown).max() < 1:
            shown.setdefault(plan.subject.number, []).append((plan.shown - plan.affect)[0])
    assert all(np.ptp(each, axis=0).max() < 1e-9 for each in shown.values())
    of_persons = np.array([each[0] for each in shown.values()])
    np.testing.assert_allclose(of_persons.std(axis=0), (0.1, 0.05), rtol=0.25)


def gains_of(world: WildWorld) -> np.ndarray:
    """log of what each action unit of each person is multiplied by (persons, n_aus)."""
    from vaaffect.simulator.ambiguity import gains

    return np.log([gains(world, number) for number in range(world.subjects)])


def test_persons_differ_in_style_and_expressiveness():
    style = gains_of(replace(PLAIN, style=0.4))
    assert style.std() == pytest.approx(0.4, rel=0.06)
    assert style.mean(axis=1).std() < 0.15  # units differ, not the whole face
    whole = gains_of(replace(PLAIN, expressiveness=0.3))
    assert np.ptp(whole, axis=1).max() < 1e-9
    assert whole[:, 0].std() == pytest.approx(0.3, rel=0.2)
    np.testing.assert_allclose(gains_of(replace(PLAIN, subtlety=2.0)), -np.log(2))


def test_sway_moves_action_units_whatever_is_felt():
    still, moving = plans(PLAIN)[:80], plans(replace(PLAIN, sway=0.1))[:80]
    differences = np.concatenate([b.units - a.units for a, b in zip(still, moving, strict=True)])
    free = np.concatenate([(b.units > 0.01) & (b.units < 0.99) & (a.units > 0.01)
                           for a, b in zip(still, moving, strict=True)])  # fmt: skip
    assert 0.06 < differences[free].std() < 0.11


def test_the_offset_of_labels_is_of_the_clip():
    off = []
    for plan in plans(replace(PLAIN, label_offset=0.2)):
        if not (np.ptp(plan.affect, axis=0) < 1e-9).any():
            off.append((plan.labels / 10 - plan.affect).mean(axis=0))
    np.testing.assert_allclose(np.std(off, axis=0), 0.2, rtol=0.15)


@pytest.fixture(scope="module")
def moods() -> dict[float, list]:
    world = WildWorld(clips=3000, subjects=1000, frames=(2, 2), seed=8, difficulty=0.3)
    return {mood: plans(replace(world, mood=mood)) for mood in (0.0, 0.5)}


def test_moods_leave_the_distribution_of_labels_as_it_is(moods):
    before, after = (np.concatenate([p.labels for p in moods[m]]) / 10 for m in (0.0, 0.5))
    np.testing.assert_allclose(before.std(axis=0), after.std(axis=0), atol=0.015)
    np.testing.assert_allclose(before.mean(axis=0), after.mean(axis=0), atol=0.03)
    for quantile in (0.1, 0.5, 0.9):
        a, b = (np.quantile(labels, quantile, axis=0) for labels in (before, after))
        np.testing.assert_allclose(a, b, atol=0.1001)
    neutral = [np.mean((labels == 0).all(axis=1)) for labels in (before, after)]
    assert abs(neutral[0] - neutral[1]) < 0.03


def test_clips_of_a_person_share_a_mood(moods):
    def between_persons(every: list) -> np.ndarray:
        """Correlation of the labels of two clips of a person (valence, arousal)."""
        by_person: dict[int, list] = {}
        for plan in every:
            by_person.setdefault(plan.subject.number, []).append(plan.labels.mean(axis=0))
        pairs = np.array([clips[:2] for clips in by_person.values() if len(clips) > 1])
        return np.array([np.corrcoef(pairs[:, :, d].T)[0, 1] for d in range(2)])

    assert np.abs(between_persons(moods[0.0])).max() < 0.1
    assert np.all(between_persons(moods[0.5]) > 0.3) and np.all(between_persons(moods[0.5]) < 0.6)


# ---------------------------------------------------------------- landmarks that were found


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    """Exact landmarks of clips of four frames (clips, 4, 68, 2)."""
    world = replace(PLAIN, clips=150, subjects=150, frames=(4, 4))
    return exact_landmarks(world).reshape(150, 4, 68, 2)


@pytest.fixture(scope="module")
def errors(faces) -> np.ndarray:
    """Errors in those, in eye distances (clips, 4, 68, 2)."""
    rng = np.random.default_rng(3)
    unit = np.linalg.norm(faces[:, :, 45] - faces[:, :, 36], axis=-1)[..., None, None]
    return np.stack([tracker.errors(rng, one.astype(float)) for one in faces]) / unit


def test_the_error_has_the_size_that_it_is_said_to_have(errors):
    assert np.sqrt((errors**2).sum(axis=-1).mean()) == pytest.approx(1, rel=0.05)
    assert np.abs(errors.mean(axis=(0, 1))).max() < 0.25  # the same for everybody: nothing
    jaw, eyes = (errors[:, :, REGIONS[name]].std() for name in ("jaw", "eyes"))
    assert jaw > 1.3 * eyes


def test_errors_go_together_as_those_of_a_tracker(errors):
    flat = errors.reshape(-1, 68, 2)
    both = np.mean([np.corrcoef(flat[..., axis].T) for axis in (0, 1)], axis=0)
    neighbours = [both[i, i + 1] for i in range(67)]
    assert np.mean(neighbours) > 0.4 > np.abs(both[0, 40:]).mean()
    same_clip = (errors[:, 0] * errors[:, 3]).mean() / (errors**2).mean()
    other_clip = (errors[1:, 0] * errors[:-1, 0]).mean() / (errors**2).mean()
    assert same_clip > 0.3 and abs(other_clip) < 0.1


def test_written_landmarks_have_the_error_and_the_truth_has_not(tmp_path):
    world = WildWorld(clips=6, subjects=6, frames=(2, 3), seed=5, size=(180, 144),
                      landmark_error=0.04)  # fmt: skip
    exact_world = replace(world, landmark_error=0.0)
    write_afew_va(tmp_path / "found", world, workers=1)
    write_afew_va(tmp_path / "exact", exact_world, workers=1)
    found, exact = load_afew_va(tmp_path / "found"), load_afew_va(tmp_path / "exact")
    assert np.array_equal(found.va, exact.va)
    pictures = [[(c.root / s).read_bytes() for s in c.frames["source"]] for c in (found, exact)]
    assert pictures[0] == pictures[1]
    truth, names = exact_landmarks(world), wild_truth(world)
    assert names["frame"].tolist() == found.frames["frame"].tolist()
    assert names["clip"].tolist() == found.frames["clip"].tolist()
    np.testing.assert_allclose(exact.landmarks, truth, atol=1e-3)
    unit = np.linalg.norm(truth[:, 45] - truth[:, 36], axis=-1)[:, None, None]
    off = (found.landmarks - truth) / unit
    assert np.sqrt((off**2).sum(axis=-1).mean()) == pytest.approx(0.04, rel=0.35)


def test_a_subject_is_the_same_with_every_knob():
    assert subject(PLAIN, 3) == subject(replace(PLAIN, **KNOBS), 3)
