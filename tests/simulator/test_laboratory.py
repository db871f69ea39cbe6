"""The laboratory: who talks to whom, what raters write, and the corpus on disk."""

import hashlib
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from made_up import contents

from vaaffect import simulator
from vaaffect.__main__ import main
from vaaffect.base import UserError, cache
from vaaffect.corpora.tracking import FacesTracker
from vaaffect.simulator import build_set, recordings, render, worlds
from vaaffect.simulator.circumplex import ACTION_UNITS
from vaaffect.simulator.laboratory import (
    CHARACTERS,
    LabWorld,
    SessionPlan,
    rater,
    session_plan,
    subject,
    visit_of,
)
from vaaffect.simulator.recordings import trace_name, video_name, write_semaine
from vaaffect.simulator.writers import read_marker, world_key

TINY = LabWorld(sessions=3, subjects=2, seconds=(3, 4), seed=5)
BEFORE = "5041937cd64d6a3ee9785fbb02fa5eb430cd19035f64f1c03ea452cf4f1fffd1"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "tiny laboratory é"
    write_semaine(folder, TINY, workers=1)
    return folder


@pytest.fixture(scope="module")
def plans() -> list[SessionPlan]:
    world = LabWorld(sessions=48, subjects=24, seed=3)
    return [session_plan(world, i) for i in range(world.sessions)]


def traces_of(plan: SessionPlan, code: str) -> list:
    return [trace for trace in plan.traces if trace.code == code]


def affect_at(plan: SessionPlan, seconds: np.ndarray, dimension: int) -> np.ndarray:
    time = np.arange(len(plan.affect)) / LabWorld.fps
    return np.interp(seconds, time, plan.affect[:, dimension])


# ---------------------------------------------------------------- plans


def test_a_visit_is_one_person_with_different_characters(plans):
    visits = {}
    for plan in plans:
        visits.setdefault(plan.recording, []).append(plan)
    assert Counter(len(visit) for visit in visits.values()) == {2: 12, 3: 6, 1: 6}
    assert list(visits) == list(range(1, 25))
    for visit in visits.values():
        assert len({plan.subject.number for plan in visit}) == 1
        assert len({plan.character for plan in visit}) == len(visit)
        assert len({plan.operator for plan in visit}) == 1
        stamps = [plan.stamp for plan in visit]
        assert stamps == sorted(set(stamps)) and len({stamp[:10] for stamp in stamps}) == 1
    assert {visit[0].subject.number for visit in visits.values()} == set(range(24))
    assert Counter(plan.character for plan in plans) == dict.fromkeys(CHARACTERS, 12)
    visits = [(0, 0), (0, 1), (1, 0), (2, 2), (3, 0), (4, 0)]
    assert [visit_of(i) for i in (0, 1, 2, 6, 7, 8)] == visits


def test_plans_are_consistent(plans):
    for plan in plans:
        assert plan.affect.shape == (len(plan.scenes), 2)
        assert 20 * 12.5 - 1 < len(plan.scenes) < 30 * 12.5 + 1
        assert plan.units.shape == (len(plan.scenes), len(ACTION_UNITS))
        assert plan.units.min() >= 0 and plan.units.max() <= 1
        assert re.fullmatch(r"2\d{3}(\.\d\d){5}", plan.stamp)
        scene = plan.scenes[0]
        assert all(s.light == scene.light and s.occluder == "none" for s in plan.scenes)
    counted = LabWorld(sessions=48, subjects=24, seed=3)
    assert [len(plan.scenes) for plan in plans] == [counted.frame_count(i) for i in range(48)]


def test_heads_turn_more_in_harder_worlds_and_at_most_eight_degrees():
    def turns(difficulty):
        scenes = session_plan(LabWorld(difficulty=difficulty), 3).scenes
        return np.abs([(scene.yaw, scene.pitch, scene.roll) for scene in scenes])

    easy, hard = turns(0.0), turns(1.0)
    assert easy.max() <= 2 and 4 < hard.max() <= 8


def test_moods_follow_the_characters_and_move(plans):
    everything = np.concatenate([plan.affect for plan in plans])
    assert np.all(everything.std(axis=0) > (0.22, 0.16)) and np.abs(everything).max() <= 0.75
    within = np.mean([plan.affect.std(axis=0) for plan in plans], axis=0)
    assert np.all(within > 0.1)
    steps = max(np.abs(np.diff(plan.affect, axis=0)).max() for plan in plans)
    assert steps < 0.04  # in a frame: slow and smooth
    means = {
        name: np.mean([p.affect.mean(axis=0) for p in plans if p.character == name], axis=0)
        for name in CHARACTERS
    }
    assert means["Poppy"][0] > 0.2 and abs(means["Prudence"][0]) < 0.15
    assert means["Obadiah"][0] < -0.1 and means["Obadiah"][1] < -0.1
    assert means["Spike"][0] < -0.1 and means["Spike"][1] > 0.1


def test_people_blink_and_talk(plans):
    droop, parted = (ACTION_UNITS.index(name) for name in ("lid_droop", "lips_part"))
    closed = np.concatenate([plan.units[:, droop] for plan in plans]) > 0.9
    assert 0.01 < closed.mean() < 0.15
    changes = [np.abs(np.diff(plan.units[:, parted])).mean() for plan in plans]
    assert np.mean(changes) > 0.05


def test_a_session_depends_on_its_index_alone(plans):
    alone = session_plan(LabWorld(sessions=30, subjects=24, seed=3), 20)
    assert alone.subject == plans[20].subject and alone.scenes == plans[20].scenes
    assert np.array_equal(alone.units, plans[20].units)
    for one, other in zip(alone.traces, plans[20].traces, strict=True):
        assert np.array_equal(one.rows, other.rows)
    other = session_plan(LabWorld(sessions=30, subjects=24, seed=4), 20)
    assert other.scenes != alone.scenes and other.subject != alone.subject


def test_nobody_is_in_both_worlds():
    wild, lab = worlds.WildWorld(seed=3), LabWorld(seed=3)
    lab_subjects = {subject(lab, i).identity for i in range(24)}
    assert len(lab_subjects) == 24
    assert not lab_subjects & {worlds.subject(wild, i).identity for i in range(60)}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sessions": 0}, "sessions"), ({"subjects": 0}, "subjects"),
        ({"seconds": (30, 20)}, "seconds"), ({"seconds": (1, 2)}, "seconds"),
        ({"seconds": (20,)}, "seconds"), ({"difficulty": -0.1}, "difficulty"),
        ({"size": (20, 20)}, "size"), ({"size": (353, 288)}, "even"), ({"size": (352,)}, "size"),
        ({"fps": 0}, "fps must be positive"), ({"fps": 0.09}, "two frames"),
        ({"raters": 1}, "raters"), ({"seed": -1}, "seed"),
        ({"rater_gain": 0.4}, "rater_gain"), ({"rater_offset": -1}, "rater_offset"),
        ({"rater_noise": -1}, "rater_noise"), ({"rater_lag": (2, 1)}, "rater_lag"),
        ({"rater_lag": (1,)}, "rater_lag"), ({"rater_lag": (0, 60)}, "rater_lag"),
    ],
)  # fmt: skip
def test_impossible_worlds_are_refused(wrong, said):
    with pytest.raises(UserError, match=f"Impossible simulated world: .*{said}"):
        LabWorld(**wrong)


def test_worlds_from_yaml_are_equal():
    assert LabWorld(seconds=[20, 30], size=[352, 288], rater_lag=[0.2, 1.0]) == LabWorld()
    with pytest.raises(IndexError):
        session_plan(TINY, 3)


# ---------------------------------------------------------------- raters


def test_traces_are_sampled_at_50_hz_with_gaps_and_ends_of_their_own(plans):
    gaps, ends, flaws = [], [], []
    for plan in plans:
        video = len(plan.scenes) / LabWorld.fps
        for trace in plan.traces:
            time, values = trace.rows.T
            steps = np.diff(time)
            assert time[0] == 0 and np.abs(values).max() <= 1
            # Whole samples: all steps are 0.02 s but for one missing stretch at most.
            jumps = steps[steps > 0.03]
            assert np.allclose(steps[steps <= 0.03], 0.02) and len(jumps) <= 1
            assert np.all((jumps > 1) & (jumps < 4.5))
            gaps.append(len(jumps))
            ends.append(time[-1] / video)
            flaws += [line for _, line in trace.flaws]
    assert 0.06 < np.mean(gaps) < 0.19
    assert 0.95 < min(ends) < 0.98 and 1.01 < max(ends) < 1.05
    assert len(set(np.round(ends, 3))) > 20
    assert "" in flaws and any(flaws) and all(len(line.split()) < 2 for line in flaws)
    assert len(flaws) < len(gaps)


def test_two_raters_at_least_and_not_always_all(plans):
    counts = {code: [len(traces_of(plan, code)) for plan in plans] for code in "VA"}
    for numbers in counts.values():
        assert min(numbers) >= 2 and max(numbers) == 6 and len(set(numbers)) > 1
    raters = [{code: {t.rater for t in traces_of(plan, code)} for code in "VA"} for plan in plans]
    assert any(who["V"] != who["A"] for who in raters)
    for i in range(8):
        few = session_plan(LabWorld(raters=2), i)
        assert len(traces_of(few, "V")) == len(traces_of(few, "A")) == 2


def test_the_mean_of_the_raters_follows_the_true_affect(plans):
    told, true = [[], []], [[], []]
    lag = np.mean([rater(LabWorld(seed=3), number)[2] for number in range(1, 7)])
    for plan in plans:
        times = np.arange(1.5, 0.9 * len(plan.scenes) / LabWorld.fps, 0.1)
        for dimension, code in enumerate("VA"):
            seen = [np.interp(times, *trace.rows.T) for trace in traces_of(plan, code)]
            told[dimension].append(np.mean(seen, axis=0))
            true[dimension].append(affect_at(plan, times - lag, dimension))
    for dimension in (0, 1):
        a, b = np.concatenate(told[dimension]), np.concatenate(true[dimension])
        assert np.corrcoef(a, b)[0, 1] > 0.9
        pairs = zip(told[dimension], true[dimension], strict=True)
        within = [np.corrcoef(x, y)[0, 1] for x, y in pairs]
        assert np.median(within) > 0.8


def test_raters_have_habits_over_the_whole_corpus(plans):
    """Gain and offset can be read from what a rater wrote, and they differ from the others'."""
    world = LabWorld(seed=3)
    measured, known = [], []
    for number in range(1, 7):
        gain, offset, lag = rater(world, number)
        assert 0.2 <= lag <= 1.0
        times, values = [], []
        for plan in plans:
            for trace in traces_of(plan, "V"):
                if trace.rater == number:
                    inner = trace.rows[(trace.rows[:, 0] > 1) & (trace.rows[:, 0] < 19)][::10]
                    times.append(affect_at(plan, inner[:, 0] - lag, 0))
                    values.append(inner[:, 1])
        measured.append(np.polyfit(np.concatenate(times), np.concatenate(values), 1))
        known.append((gain[0], offset[0]))
    known = np.array(known)
    np.testing.assert_allclose(measured, known, atol=0.06)
    assert known[:, 0].std() > 0.07 and known[:, 1].std() > 0.02


def test_raters_without_knobs_are_the_ones_that_they_always_were():
    """The hash was made with the code before there were knobs."""
    digest = hashlib.sha256()
    for world in (LabWorld(sessions=8, subjects=4, seed=3), LabWorld(seconds=(3, 4), seed=7)):
        for index in range(8):
            for t in session_plan(world, index).traces:
                rows = (np.round(t.rows, 6) + 0.0).tolist()
                digest.update(json.dumps([t.rater, t.code, t.flaws, rows]).encode())
    assert digest.hexdigest() == BEFORE


def test_a_knob_of_the_raters_changes_traces_as_it_says_and_nothing_else(plans):
    world = LabWorld(sessions=48, subjects=24, seed=3)
    for index in range(0, 48, 6):
        changed = replace(world, rater_gain=0.3, rater_offset=0.2, rater_noise=0.2)
        plan = session_plan(replace(changed, rater_lag=(1.0, 2.0)), index)
        before = plans[index]
        assert np.array_equal(plan.affect, before.affect) and plan.scenes == before.scenes
        assert np.array_equal(plan.units, before.units)
        for one, other in zip(plan.traces, before.traces, strict=True):
            assert (one.rater, one.code, one.flaws) == (other.rater, other.code, other.flaws)
            assert np.array_equal(one.rows[:, 0], other.rows[:, 0])
            assert not np.array_equal(one.rows[:, 1], other.rows[:, 1])
    # Twice as far from 1, from 0, and later by as much as is said.
    for number in range(1, 7):
        gain, offset, lag = rater(world, number)
        wider = replace(world, rater_gain=0.39, rater_offset=0.16, rater_lag=(1.2, 2.0))
        other = rater(wider, number)
        np.testing.assert_allclose(other[0] - 1, (gain - 1) * 1.95)
        np.testing.assert_allclose(other[1], 2 * offset)
        assert other[2] == pytest.approx(lag + 1.0)


def test_affect_is_known_for_as_long_as_a_rater_lags():
    world = LabWorld(sessions=4, subjects=2, seconds=(12, 12), seed=3, rater_gain=0.0,
                     rater_offset=0.0, rater_noise=0.0, rater_lag=(5.0, 5.0))  # fmt: skip
    for index in range(4):
        plan, early = session_plan(world, index), traces_of(session_plan(world, index), "V")[0]
        times = np.arange(6, 11, 0.1)
        told = np.interp(times, *early.rows.T)
        np.testing.assert_allclose(told, affect_at(plan, times - 5.0, 0), atol=0.01)
        before = early.rows[early.rows[:, 0] < 3, 1]
        assert len(before) == 0 or np.ptp(before) > 1e-3  # no flat line until they have woken up


# ---------------------------------------------------------------- pictures


def test_dlib_finds_the_faces():
    world = LabWorld(difficulty=1.0)
    for index in range(8):
        plan = session_plan(world, index)
        at = len(plan.scenes) // 2
        person = plan.subject.identity
        picture, points = render(person, plan.units[at], plan.scenes[at], world.size)
        assert points.min() > 0 and np.all(points.max(axis=0) < world.size)
        assert FacesTracker()(picture), index


# ---------------------------------------------------------------- on disk


def test_layout(tiny):
    names = set(contents(tiny))
    expected = {"simulated.json", "manifest.json"}
    for i in range(TINY.sessions):
        plan = session_plan(TINY, i)
        below = {"session.xml", video_name(plan), *(trace_name(plan, t) for t in plan.traces)}
        assert len(below) == len(plan.traces) + 2
        expected |= {f"Sessions/{i + 1}/{name}" for name in below}
        codes = [re.sub(r"^R\dS\dTUC(Po|Ob|Sp|Pr)D(\w+)\.txt$", r"\2", name) for name in below]
        assert {"V", "A", "I"} <= set(codes)
        assert any(code.startswith("A") and len(code) > 1 for code in codes)  # the trap
    assert names == expected


def test_session_xml_lists_the_traces_that_exist(tiny):
    for i in range(TINY.sessions):
        folder, plan = tiny / "Sessions" / str(i + 1), session_plan(TINY, i)
        session = ElementTree.parse(folder / "session.xml").getroot()
        assert session.tag == "session"
        about = {"recording": str(plan.recording), "character": plan.character}
        assert session.attrib == {"sessionId": str(i + 1)} | about
        people = {person.get("role"): person.get("id") for person in session.iter("subject")}
        assert set(people) == {"User", "Operator"}
        assert people["User"] == str(plan.subject.number + 1) != people["Operator"]
        (track,) = session.findall("track[@type='AV']")
        assert (folder / track.get("filename")).is_file()
        listed = [note.get("filename") for note in track.findall("annotation[@type='FeelTrace']")]
        assert sorted(listed) == sorted(path.name for path in folder.glob("*.txt"))


def test_trace_files_hold_what_was_planned():
    rows = np.array([(0.0, -0.25), (0.02, 0.123456), (0.04, 1.0)])
    plan = session_plan(TINY, 0)
    trace = replace(plan.traces[0], rows=rows, flaws=((1, ""), (2, "0.04")))
    assert recordings._lines(trace) == "0.00 -0.2500\n\n0.02 0.1235\n0.04\n0.04 1.0000\n"


def test_traces_on_disk_are_the_planned_ones(tiny):
    plan = session_plan(TINY, 1)
    for trace in plan.traces:
        lines = (tiny / "Sessions" / "2" / trace_name(plan, trace)).read_text().splitlines()
        rows = np.array([line.split() for line in lines if len(line.split()) == 2], float)
        np.testing.assert_allclose(rows, trace.rows, atol=6e-5)
        assert len(lines) == len(rows) + len(trace.flaws)


def test_videos_are_as_planned(tiny):
    plan = session_plan(TINY, 2)
    video = cv2.VideoCapture(str(tiny / "Sessions" / "3" / video_name(plan)))
    assert video.get(cv2.CAP_PROP_FPS) == TINY.fps
    frames = []
    while (read := video.read())[0]:
        frames.append(read[1])
    assert len(frames) == len(plan.scenes) == TINY.frame_count(2)
    assert frames[0].shape == (288, 352, 3)
    # The right picture at the right place: the last frame is drawn again.
    wall = np.full_like(frames[0], recordings.WALL)
    shared = replace(build_set(plan.scenes[0], TINY.size), backdrop=wall)
    drawn, _ = render(plan.subject.identity, plan.units[-1], plan.scenes[-1], TINY.size, shared)
    assert cv2.PSNR(frames[-1], cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)) > 33
    # One colour behind them, evenly lit: the corners at the top look alike.
    corners = [frames[0][:30, :60], frames[0][:30, -60:]]
    assert abs(corners[0].mean() - corners[1].mean()) < 1 and corners[0].std() < 15


def test_marker(tiny):
    marker = read_marker(tiny)
    assert marker["simulated"] is True and marker["key"] == world_key(TINY)
    assert marker["corpus"] == "SEMAINE layout"
    assert LabWorld(**marker["parameters"]) == TINY
    frames = sum(TINY.frame_count(i) for i in range(3))
    assert marker["counts"] == {"sessions": 3, "subjects": 2, "frames": frames}


def test_same_bytes_for_any_number_of_workers(tiny, tmp_path):
    seen = []
    progress = lambda done, total: seen.append((done, total))  # noqa: E731
    write_semaine(tmp_path / "two", TINY, workers=2, progress=progress)
    assert contents(tmp_path / "two") == contents(tiny)
    total = sum(TINY.frame_count(i) for i in range(3))
    assert seen[0] == (0, total) and seen[-1] == (total, total)


def test_a_killed_run_goes_on(tiny, tmp_path, monkeypatch):
    folder, draw = tmp_path / "killed", recordings.write_video

    def die(path, pictures, fps):
        draw(path, pictures, fps)
        if path.parent.name.startswith("2-"):
            raise KeyboardInterrupt

    monkeypatch.setattr(recordings, "write_video", die)
    with pytest.raises(KeyboardInterrupt):
        write_semaine(folder, TINY, workers=1)
    assert cache.opened(folder) is None
    assert [path.name for path in (folder / "Sessions").iterdir()] == ["1"]
    monkeypatch.setattr(recordings, "write_video", draw)
    with pytest.raises(UserError, match="other parameters"):
        write_semaine(folder, replace(TINY, seed=9), workers=1)
    first = folder / "Sessions" / "1" / "session.xml"
    made = first.stat().st_mtime_ns
    write_semaine(folder, TINY, workers=1)
    assert contents(folder) == contents(tiny) and first.stat().st_mtime_ns == made
    # Whole now: nothing is drawn again.
    monkeypatch.setattr(recordings, "write_session", lambda *_: pytest.fail("drawn again"))
    assert write_semaine(folder, TINY, workers=1) == read_marker(tiny)


def test_a_video_that_is_cut_short_is_not_taken_for_whole(tiny, tmp_path):
    plan = session_plan(TINY, 0)
    whole = (tiny / "Sessions" / "1" / video_name(plan)).read_bytes()
    path = tmp_path / "short.avi"
    path.write_bytes(whole)
    assert recordings._is_whole(path, len(plan.scenes))
    assert not recordings._is_whole(path, len(plan.scenes) + 1)
    for kept in (0, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        assert not recordings._is_whole(path, len(plan.scenes))
    assert not recordings._is_whole(tmp_path / "none.avi", 1)


def test_a_video_that_cannot_be_written_is_a_clear_error(tmp_path, monkeypatch):
    """OpenCV itself says nothing when it cannot write."""
    monkeypatch.setattr(recordings, "video_name", lambda _: "video.of-no-kind")
    world = replace(TINY, sessions=1)
    with pytest.raises(UserError, match=r"corpus: cannot be written \(OpenCV could not write"):
        write_semaine(tmp_path / "corpus", world, workers=1)
    assert not (tmp_path / "corpus" / "Sessions").exists()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4096))
    with pytest.raises(UserError, match=r"corpus: cannot be written \(No space left"):
        write_semaine(tmp_path / "corpus", world, workers=1)


def test_the_command_writes_it(tmp_path, monkeypatch):
    """The command's own world takes seconds to draw, so its sessions are made shorter."""
    seen = []

    def write(out, world, workers, progress):
        seen.append(world)
        return write_semaine(out, replace(world, seconds=(3, 3)), workers, progress)

    monkeypatch.setattr(simulator, "write_semaine", write)
    given = ["simulate", str(tmp_path / "lab"), "--corpus", "semaine", "--clips", "2"]
    assert main([*given, "--seed", "4", "--workers", "1"]) == 0
    assert seen == [LabWorld(sessions=2, subjects=1, seed=4)]
    marker = read_marker(tmp_path / "lab")
    assert marker["counts"]["sessions"] == 2
    assert len(list((tmp_path / "lab" / "Sessions").glob("*/*_User_AV_lowQ_*.avi"))) == 2
