"""The simulator: action units, drawn faces, worlds, and the corpus they leave on disk."""

import errno
import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_up import contents

from vaaffect.base import UserError, cache
from vaaffect.corpora.afew_va import load_afew_va
from vaaffect.corpora.landmarks import REGIONS, relative_error
from vaaffect.corpora.tracking import FacesTracker
from vaaffect.simulator import Scene, build_set, render, sample_identity, sample_scene, writers
from vaaffect.simulator.circumplex import ACTION_UNITS, EMOTIONS, PROTOTYPES, action_units
from vaaffect.simulator.laboratory import LabWorld
from vaaffect.simulator.worlds import WildWorld, clip_plan, subject
from vaaffect.simulator.writers import read_marker, write_afew_va

TINY = WildWorld(clips=3, subjects=2, frames=(2, 3), seed=5)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "tiny"
    write_afew_va(folder, TINY, workers=1)
    return folder


def along(unit: str, valence, arousal) -> np.ndarray:
    va = np.stack(np.broadcast_arrays(valence, arousal), axis=-1)
    return action_units(va)[..., ACTION_UNITS.index(unit)]


# ---------------------------------------------------------------- circumplex


def test_emotions_show_their_prototypes():
    for name, place in EMOTIONS.items():
        np.testing.assert_allclose(action_units(np.array(place)), PROTOTYPES[name], atol=1e-9)
    assert not PROTOTYPES["neutral"].any()


def test_action_units_cover_the_plane_smoothly():
    axis = np.linspace(-1, 1, 201)
    units = action_units(np.stack(np.meshgrid(axis, axis), axis=-1))
    assert units.shape == (201, 201, len(ACTION_UNITS))
    assert units.min() >= 0 and units.max() <= 1
    steps = max(np.abs(np.diff(units, axis=i)).max() for i in (0, 1))
    assert steps < 0.12  # the plane is walked in steps of 0.01


@pytest.mark.parametrize(
    ("unit", "valence", "arousal"),
    [
        ("lip_corner_puller", np.linspace(-0.5, 0.8, 40), 0.3),
        ("lip_corner_puller", np.linspace(0, 0.8, 40), 0.1),
        ("lip_corner_depressor", np.linspace(0, -0.8, 40), -0.3),
        ("lid_raiser", 0.0, np.linspace(0, 1, 40)),
        ("lid_raiser", -0.5, np.linspace(0, 0.9, 40)),
        ("jaw_drop", 0.0, np.linspace(0, 1, 40)),
        ("jaw_drop", 0.4, np.linspace(0, 0.9, 40)),
        ("lid_droop", 0.0, np.linspace(0, -1, 40)),
        ("brow_lowerer", np.linspace(0, -0.8, 40), 0.45),
    ],
)
def test_action_units_follow_affect(unit, valence, arousal):
    strength = along(unit, valence, arousal)
    assert np.diff(strength).min() > -1e-9
    assert strength[-1] > strength[0] + 0.3


# ---------------------------------------------------------------- face


def frontal(seed: int, emotion: str = "neutral", strength: float = 1.0):
    """A frontal, evenly lit face of a random person: picture, landmarks."""
    rng = np.random.default_rng([seed, 5])
    person = sample_identity(rng)
    scene = sample_scene(rng, 0.0)
    return render(person, action_units(np.array(EMOTIONS[emotion]) * strength), scene)


@pytest.mark.parametrize("seed", range(4))
def test_landmarks_are_in_ibug_order(seed):
    image, points = frontal(seed)
    assert image.shape == (576, 720, 3) and image.dtype == np.uint8
    assert points.shape == (68, 2) and points.dtype == np.float32
    x, y = points.T
    # Beside the ears the outline of a broad jaw is nearly upright.
    assert np.all(np.diff(x[0:17]) > -2) and np.all(np.diff(x[3:14]) > 0)
    assert np.all(np.diff(y[0:9]) > 0) and np.all(np.diff(y[8:17]) < 0)
    assert np.all(np.diff(x[17:27]) > 0)
    assert np.all(np.diff(y[27:31]) > 0) and np.all(np.diff(x[31:36]) > 0)
    assert x[36] < x[37] < x[38] < x[39] < x[42] < x[43] < x[44] < x[45]
    assert y[37] < y[41] and y[38] < y[40] and y[43] < y[47] and y[44] < y[46]
    assert x[48] == x[48:68].min() and x[54] == x[48:68].max()
    assert np.all(np.diff(x[48:55]) > 0) and np.all(np.diff(x[54:60]) < 0)
    assert x[60] < x[61] < x[62] < x[63] < x[64] and x[67] < x[66] < x[65]
    assert y[33] < y[51] < y[57] < y[8] and y[17:27].max() < y[36:48].max() < y[33]
    face = y.max() - y.min()
    assert 150 < face < 380


def test_expression_moves_the_landmarks():
    def mouth_and_brows(emotion):
        _, points = frontal(1, emotion)
        unit = np.linalg.norm(points[36] - points[45])
        smile = points[[51, 57], 1].mean() - points[[48, 54], 1].mean()
        opening = points[66, 1] - points[62, 1]
        brows = points[36:48, 1].mean() - points[17:27, 1].mean()
        lids = points[[40, 41, 46, 47], 1].mean() - points[[37, 38, 43, 44], 1].mean()
        return np.array([smile, opening, brows, lids]) / unit

    calm, happy, sad = (mouth_and_brows(e) for e in ("neutral", "happiness", "sadness"))
    surprised, angry = mouth_and_brows("surprise"), mouth_and_brows("anger")
    assert happy[0] > calm[0] + 0.03 > sad[0] + 0.06
    assert surprised[1] > calm[1] + 0.15
    assert surprised[2] > calm[2] + 0.05 > angry[2] + 0.07
    assert surprised[3] > calm[3] > sad[3]


def test_pictures_repeat_and_differ():
    person, scene = sample_identity(np.random.default_rng(1)), Scene(noise=2.0, blur=0.8)
    units = action_units(np.array([0.4, 0.3]))
    shared = build_set(scene, (360, 288))
    first, points = render(person, units, scene, (360, 288), shared)
    again, _ = render(person, units, scene, (360, 288))
    assert np.array_equal(first, again) and first.shape == (288, 360, 3)
    other, _ = render(person, units, replace(scene, noise_phase=77), (360, 288), shared)
    assert not np.array_equal(first, other)
    # A picture of half the size has its landmarks at half the place.
    _, large = render(person, units, scene, (720, 576))
    np.testing.assert_allclose(points * 2, large, atol=1e-3)


def test_extreme_scenes_do_not_break():
    rng = np.random.default_rng(3)
    for occluder in ("hand", "bar", "scarf", "strand", "shoulder"):
        scene = replace(sample_scene(rng, 1.0), occluder=occluder, yaw=42.0, centre=(0.02, 0.95))
        image, points = render(sample_identity(rng, 1.0), rng.random(len(ACTION_UNITS)), scene)
        assert np.isfinite(points).all() and image.std() > 1


def test_dlib_finds_the_drawn_points():
    """An independent landmarker, trained on photographs, agrees with the exact points."""
    errors, tried = [], 27
    for seed in range(tried):
        emotion = list(EMOTIONS)[seed % len(EMOTIONS)]
        image, points = frontal(seed, emotion, 0.6)
        errors += [relative_error(found, points) for _, found in FacesTracker()(image)[:1]]
    errors = np.array(errors)
    assert len(errors) >= 0.95 * tried
    assert errors.mean() < 0.05
    for region, part in REGIONS.items():
        assert errors[:, part].mean() < 0.08, region


# ---------------------------------------------------------------- worlds


@pytest.fixture(scope="module")
def big():
    world = WildWorld(clips=600, subjects=240, frames=(8, 16), seed=3)
    return world, [clip_plan(world, i) for i in range(world.clips)]


def test_labels_are_distributed_like_those_of_films(big):
    _, plans = big
    labels = np.concatenate([plan.labels for plan in plans])
    assert labels.dtype.kind == "i" and np.abs(labels).max() <= 10
    valence, arousal = labels.T
    assert -1.6 < valence.mean() < -0.3 and 1.5 < arousal.mean() < 3.0
    assert 2.0 < valence.std() < 3.3 and 1.9 < arousal.std() < 3.0
    assert valence.min() <= -6 and valence.max() >= 5
    assert arousal.min() <= -3 and arousal.max() >= 7
    assert 0.08 < np.mean((valence == 0) & (arousal == 0)) < 0.3
    assert np.corrcoef(np.abs(valence), arousal)[0, 1] > 0.3
    assert np.mean((valence > 0) & (arousal < 0)) < 0.02
    still = np.array([np.ptp(plan.labels, axis=0) == 0 for plan in plans]).mean(axis=0)
    assert np.all((still > 0.1) & (still < 0.5))


def test_plans_are_consistent_and_balanced(big):
    world, plans = big
    for i, plan in enumerate(plans[:60]):
        count = len(plan.affect)
        assert world.frames[0] <= count <= world.frames[1] and count == world.frame_count(i)
        assert plan.labels.shape == (count, 2) and len(plan.scenes) == count
        assert plan.units.shape == (count, len(ACTION_UNITS))
        assert plan.units.min() >= 0 and plan.units.max() <= 1
        assert np.abs(plan.labels / 10 - plan.affect).max() < 0.25
        assert plan.subject.number == world.subject_of(i)
    counts = np.bincount([plan.subject.number for plan in plans], minlength=240)
    assert counts.min() >= 2 and counts.max() <= 3
    names = {plan.subject.actor for plan in plans}
    assert len(names) == 240 and all(name.startswith("Actor ") for name in names)
    gains = np.array([subject(world, i).expressiveness for i in range(100)])
    assert 0.15 < gains.std() < 0.4


def test_worlds_of_another_seed_have_other_people():
    worlds = [WildWorld(clips=4, subjects=4, seed=seed) for seed in (0, 1)]
    first, second = ([subject(world, i) for i in range(4)] for world in worlds)
    assert not {p.actor for p in first} & {p.actor for p in second}
    assert all(a.identity != b.identity for a, b in zip(first, second, strict=True))


def test_each_clip_depends_on_its_index_alone(big):
    world, plans = big
    alone = clip_plan(replace(world, clips=300), 123)
    assert alone.subject == plans[123].subject and alone.scenes == plans[123].scenes
    assert np.array_equal(alone.units, plans[123].units)
    other = clip_plan(replace(world, seed=4), 123)
    assert other.scenes != plans[123].scenes


@pytest.mark.parametrize(
    "wrong",
    [
        {"clips": 0}, {"clips": 10000}, {"subjects": 0}, {"frames": (5, 2)}, {"frames": (5,)},
        {"difficulty": 1.5}, {"size": (10, 10)}, {"seed": -1}, {"fps": 0}, {"frame_step": 0},
    ],
)  # fmt: skip
def test_impossible_worlds_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(UserError, match=f"Impossible simulated world: {name} must"):
        WildWorld(**wrong)
    with pytest.raises(IndexError):
        clip_plan(WildWorld(clips=2), 2)


# ---------------------------------------------------------------- on disk


def test_layout(tiny):
    names = set(contents(tiny))
    expected = {"simulated.json", "manifest.json"}
    for i in range(TINY.clips):
        clip = f"{i + 1:03d}"
        expected.add(f"01/{clip}/{clip}.json")
        expected |= {f"01/{clip}/{k * TINY.frame_step:05d}.png" for k in range(TINY.frame_count(i))}
    assert names == expected
    text = (tiny / "01" / "002" / "002.json").read_text()
    record = json.loads(text)
    assert set(record) == {"actor", "frames", "video_id"} and record["video_id"] == "002"
    for i, (key, frame) in enumerate(record["frames"].items()):
        assert key == f"{i * TINY.frame_step:05d}"  # frames of the film, of which some are kept
        assert set(frame) == {"valence", "arousal", "landmarks"}
        assert type(frame["valence"]) is int and type(frame["arousal"]) is int
        assert -10 <= frame["valence"] <= 10 and -10 <= frame["arousal"] <= 10
        points = np.array(frame["landmarks"])
        assert points.shape == (68, 2) and np.isfinite(points).all()
        image = cv2.imread(str(tiny / "01" / "002" / f"{key}.png"))
        assert image.shape == (576, 720, 3)
        inside = (points >= 0).all(axis=1) & (points < (720, 576)).all(axis=1)
        assert inside.mean() > 0.9


def test_fifty_clips_to_a_part():
    # As many clips as a pretext task wants are more than AFEW-VA has.
    folders = [writers._clip_folder(i).as_posix() for i in (0, 49, 50, 599, 1499)]
    assert folders == ["01/001", "01/050", "02/051", "12/600", "30/1500"]
    assert clip_plan(WildWorld(clips=1500), 1499).clip == "1500"


def test_marker(tiny, tmp_path):
    marker = read_marker(tiny)
    assert marker["simulated"] is True and marker["key"] == writers.world_key(TINY)
    assert WildWorld(**marker["parameters"]) == TINY
    frames = sum(TINY.frame_count(i) for i in range(TINY.clips))
    assert marker["counts"] == {"clips": 3, "subjects": 2, "frames": frames}
    assert read_marker(tmp_path) is None


def test_same_bytes_for_any_number_of_workers(tiny, tmp_path):
    seen = []
    progress = lambda done, total: seen.append((done, total))  # noqa: E731
    write_afew_va(tmp_path / "two", TINY, workers=2, progress=progress)
    assert contents(tmp_path / "two") == contents(tiny)
    total = sum(TINY.frame_count(i) for i in range(TINY.clips))
    assert seen[0] == (0, total) and seen[-1] == (total, total) and seen == sorted(seen)


def test_another_seed_gives_other_bytes(tiny, tmp_path):
    write_afew_va(tmp_path / "other", replace(TINY, seed=6, clips=1), workers=1)
    before = contents(tiny)
    for name, digest in contents(tmp_path / "other").items():
        assert before.get(name) != digest or name == "manifest.json"  # which has no facts


def test_a_whole_corpus_is_left_alone(tiny, monkeypatch):
    monkeypatch.setattr(writers, "write_clip", lambda *_: pytest.fail("drawn again"))
    assert write_afew_va(tiny, TINY, workers=1) == read_marker(tiny)


def test_a_killed_run_goes_on(tiny, tmp_path, monkeypatch):
    folder, whole = tmp_path / "killed", contents(tiny)
    draw = writers.write_clip

    def die(out, world, index):
        if index == 1:
            half = out / ".simulating" / "002-1"
            half.mkdir(parents=True)
            (half / "00000.png").write_bytes(b"half a pict")
            raise KeyboardInterrupt
        return draw(out, world, index)

    monkeypatch.setattr(writers, "write_clip", die)
    with pytest.raises(KeyboardInterrupt):
        write_afew_va(folder, TINY, workers=1)
    assert cache.opened(folder) is None and not (folder / "01" / "002").exists()
    assert load_afew_va(folder).simulated  # half of it, but nobody takes it for a real one
    drawn = []
    record = lambda out, world, index: drawn.append(index) or draw(out, world, index)  # noqa: E731
    monkeypatch.setattr(writers, "write_clip", record)
    with pytest.raises(UserError, match="other parameters"):
        write_afew_va(folder, replace(TINY, seed=9), workers=1)
    write_afew_va(folder, TINY, workers=1)
    assert drawn == [1, 2] and contents(folder) == whole
    # A clip that went missing later is made again, alone.
    for path in (folder / "01" / "003").iterdir():
        path.unlink()
    (folder / "01" / "003").rmdir()
    write_afew_va(folder, TINY, workers=1)
    assert drawn == [1, 2, 2] and contents(folder) == whole


def draw_together(barrier, folder: Path) -> None:
    barrier.wait()
    write_afew_va(folder, replace(TINY, clips=8), workers=1)


def test_two_processes_that_want_the_same_corpus_draw_it_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    folder = tmp_path / "both"
    both = [context.Process(target=draw_together, args=(barrier, folder)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    write_afew_va(tmp_path / "alone", replace(TINY, clips=8), workers=1)
    pieces = {name: digest for name, digest in contents(folder).items() if name != "manifest.json"}
    alone = contents(tmp_path / "alone")
    assert pieces == {name: alone[name] for name in alone if name != "manifest.json"}


def test_a_world_is_known_before_it_is_drawn():
    keys = [writers.world_key(world) for world in (TINY, replace(TINY, seed=6), LabWorld(seed=5))]
    assert len(set(keys)) == 3 and keys[0] == writers.world_key(replace(TINY))


def test_nothing_is_overwritten(tiny, tmp_path):
    before = contents(tiny)
    with pytest.raises(UserError, match=str(tiny)):
        write_afew_va(tiny, replace(TINY, seed=9), workers=1)
    assert contents(tiny) == before
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        write_afew_va(tmp_path, TINY, workers=1)
    assert list(contents(tmp_path)) == ["thesis.txt"]
    with pytest.raises(UserError, match="is a file"):
        write_afew_va(tmp_path / "thesis.txt", TINY, workers=1)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "simulated.json").write_text('{"simul')
    with pytest.raises(UserError, match="damaged"):
        write_afew_va(tmp_path / "bad", TINY, workers=1)


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writers, "write_clip", full)
    with pytest.raises(UserError, match=r"corpus: cannot be written \(No space left .* free some"):
        write_afew_va(tmp_path / "corpus", TINY, workers=1)


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written|is a file"):
        write_afew_va(tmp_path / "file" / "below", TINY, workers=1)
