import re
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import AVI, number_of, numbered, write_clip
from films import read_film, write_film
from rights import without_rights

from vaaffect.base.errors import UserError
from vaaffect.corpora.pictures import read_pictures
from vaaffect.corpora.problems import losses
from vaaffect.corpora.semaine import (
    RaterTrace,
    cronbach_alpha,
    load_semaine,
    rate,
    read_sessions,
)


@pytest.fixture
def root(lab_root, tmp_path):
    """A copy of the tiny laboratory that a test may damage."""
    return shutil.copytree(lab_root, tmp_path / "copy")


@pytest.fixture(scope="module")
def whole(lab_root):
    return load_semaine(lab_root)


def traces(root: Path, session: int, dimension: str) -> list[Path]:
    return sorted((root / f"Sessions/{session}").glob(f"R*D{dimension}.txt"))


def edit_xml(root: Path, session: int, pattern: str, by: str) -> Path:
    path = root / f"Sessions/{session}/session.xml"
    text, count = re.subn(pattern, by, path.read_text())
    assert count
    path.write_text(text)
    return path


def new_reasons(root: Path, whole) -> dict[str, str]:
    before = set(whole.problems.itertuples(index=False, name=None))
    now = load_semaine(root).problems.itertuples(index=False, name=None)
    return {path: reason for path, reason, lost in now if (path, reason, lost) not in before}


def test_every_session_is_loaded_with_its_own_people_and_videos(whole, lab_root):
    frames = whole.frames
    assert whole.label == "SEMAINE (simulated)" and whole.simulated and whole.landmarks is None
    assert frames["clip"].unique().tolist() == ["1", "2", "3", "4", "5", "6"]
    assert frames["subject"].nunique() == 3
    assert frames["subject"].str.fullmatch("s[0-9a-f]{8}").all()
    assert (frames["source_index"] % 10 == 0).all()
    assert np.allclose(frames["time_s"], frames["source_index"] / 12.5)
    for source, of_video in frames.groupby("source"):
        assert "User" in source and (lab_root / source).exists()
        assert of_video["source_index"].is_monotonic_increasing
    assert frames[["valence", "arousal"]].abs().to_numpy().max() <= 1


def test_a_label_is_the_mean_of_the_raters_at_the_time_of_the_frame(whole, lab_root):
    row = whole.frames[(whole.frames["clip"] == "2")].iloc[3]
    at, ratings = row["time_s"], []
    for path in traces(lab_root, 2, "V"):
        table = [line.split() for line in path.read_text().splitlines()]
        table = np.array([pair for pair in table if len(pair) == 2], float)
        near = np.abs(table[:, 0] - at)
        if near.min() < 0.011:
            ratings.append(table[near.argmin(), 1])
    assert len(ratings) == row["valence_raters"] > 1
    assert row["valence"] == pytest.approx(np.mean(ratings), abs=0.01)
    assert row["valence_sd"] == pytest.approx(np.std(ratings, ddof=1), abs=0.01)


def test_ratings_are_interpolated_in_time_and_never_across_a_gap():
    time = np.concatenate([np.arange(0, 1, 0.02), np.arange(3, 4, 0.02)])
    trace = RaterTrace("1", time, 0.1 * time)
    rated = trace.at(np.array([0.013, 0.5, 1.5, 3.0, 3.51, 5.0]))
    assert rated[[0, 1, 3, 4]] == pytest.approx([0.0013, 0.05, 0.3, 0.351])
    assert np.isnan(rated[[2, 5]]).all()


def test_raters_are_averaged_where_they_rated_and_counted():
    first = RaterTrace("1", np.array([0.0, 0.4, 0.8]), np.array([0.0, 0.4, 0.8]))
    short = RaterTrace("2", np.array([0.0, 0.2]), np.array([0.2, 0.4]))
    mean, count, sd = rate([first, short], np.array([0.2, 0.8, 9.0]))
    assert mean[:2] == pytest.approx([0.3, 0.8]) and np.isnan(mean[2])
    assert count.tolist() == [2, 1, 0]
    assert sd[0] == pytest.approx(np.std([0.2, 0.4], ddof=1)) and np.isnan(sd[1:]).all()


def test_videos_are_aligned_by_time_whatever_their_speed(root, whole):
    # The same conversation filmed at twice the speed: each frame lasts half as long.
    video = next((root / "Sessions/1").glob("*User*.avi"))
    write_film(video, [image for image in read_film(video) for _ in range(2)])
    mine = load_semaine(root).frames.query("clip == '1'").set_index("time_s")
    before = whole.frames.query("clip == '1'").set_index("time_s")
    both = mine.index.intersection(before.index)
    assert len(both) >= len(before) - 1 and len(mine) > 1.8 * len(before)
    assert np.allclose(mine.loc[both, "valence"], before.loc[both, "valence"])


def test_labels_belong_to_the_moment_of_the_frame_where_a_recording_has_gaps(root, whole):
    """The same conversations, recorded with gaps: an AVI has empty chunks there."""
    gaps = {
        "1": [(5, 30)], "2": [(1, 2), (8, 9), (22, 23)], "3": [(0, 12), (20, 33)],
        "4": [(10, 40), (41, 43)], "5": [(3, 6), (9, 12), (15, 18), (21, 24)], "6": [(14, 19)],
    }  # fmt: skip
    sessions = {session.number: session for session in read_sessions(root)}
    for number, session in sessions.items():
        missing = [i for begin, end in gaps[number] for i in range(begin, end)]
        kept = np.setdiff1d(np.arange(session.video.frames), missing)
        pictures = [numbered(i) for i in kept]
        write_clip(session.path, kept / 12.5, **AVI | {"unit": Fraction(2, 25)}, pictures=pictures)
    frames = load_semaine(root).frames
    for number, of_clip in frames.groupby("clip"):
        columns = [of_clip[name].tolist() for name in ("source", "source_index")]
        shown = [number_of(image) for _, image, _ in read_pictures(root, *columns)]
        moments = np.array(shown) / 12.5
        assert len(moments) >= 2 and shown != of_clip["source_index"].tolist()
        assert np.abs(of_clip["time_s"] - moments).max() < 0.04
        for name in ("valence", "arousal"):
            label, _, _ = rate(sessions[number].traces[name], moments)
            assert np.allclose(of_clip[name], label.clip(-1, 1), atol=1e-6)


def test_other_dimensions_roles_and_cameras_are_not_taken(root, whole):
    folder = root / "Sessions/1"
    (valence, *_), (arousal, *_) = traces(root, 1, "V"), traces(root, 1, "A")
    flat = "".join(f"{t / 50:.2f} 0.9\n" for t in range(500))
    (folder / valence.name.replace("TUC", "TOC")).write_text(flat)  # the operator
    (folder / arousal.name.replace("DA.txt", "DAnomSim.txt")).write_text(flat)
    (folder / arousal.name.replace("DA.txt", "A.txt")).write_text(flat)
    video = next(folder.glob("*User*.avi"))
    shutil.copy(video, folder / video.name.replace("User", "Operator"))
    shutil.copy(video, folder / ("000_" + video.name.replace("AV", "Profile")))
    assert load_semaine(root).frames.equals(whole.frames)


def test_any_depth_and_another_place_give_the_same_corpus(root, whole, tmp_path):
    nested = tmp_path / "semaine-database_download_2011-01-01_10_00_00" / "x"
    shutil.copytree(root, nested)
    corpus = load_semaine(nested.parent)
    columns = ["subject", "clip", "frame", "valence", "arousal"]
    assert corpus.frames[columns].equals(whole.frames[columns])
    # It stays a simulated one, seen from above and from within.
    assert corpus.label == load_semaine(nested / "Sessions").label == "SEMAINE (simulated)"
    (nested / "simulated.json").unlink()
    real = load_semaine(nested)
    assert real.label == "SEMAINE"
    assert set(real.frames["subject"]) == {f"semaine-00{i}" for i in (1, 2, 3)}


def test_a_copy_inside_the_copy_is_read_once_and_said(root, whole):
    shutil.copytree(root / "Sessions/2", root / "again/2")
    assert (
        load_semaine(root).frames["clip"].value_counts().equals(whole.frames["clip"].value_counts())
    )
    found = new_reasons(root, whole)["again/2/session.xml"]
    assert found == "session 2 was already read: Sessions/2"


@pytest.mark.parametrize(
    "content, reason",
    [
        ("", "trace holds no ratings"),
        ("0.02\n0.04\n\n0.06\n", "trace holds no ratings"),
        ("".join(f"{t / 50} nan\n" for t in range(99)), "trace holds no ratings"),
        ("".join(f"{t / 50} {t / 9}\n" for t in range(100)), "beyond FEELtrace's scale"),
    ],
)
def test_a_useless_trace_is_listed_and_the_other_raters_kept(root, whole, content, reason):
    path = traces(root, 3, "V")[0]
    path.write_text(content)
    (found,) = new_reasons(root, whole).items()
    assert found[0] == path.relative_to(root).as_posix() and reason in found[1]
    frames = load_semaine(root).frames
    assert len(frames) == len(whole.frames)
    mine = frames["clip"] == "3"
    assert frames.loc[mine, "valence_raters"].max() < whole.frames["valence_raters"][mine].max() + 1
    assert frames["valence_raters"].sum() < whole.frames["valence_raters"].sum()
    assert frames["arousal_raters"].equals(whole.frames["arousal_raters"])


def test_frames_that_nobody_rated_are_left_out_one_by_one(root, whole):
    for path in traces(root, 4, "A"):  # every rater of arousal stops after two seconds
        lines = [line for line in path.read_text().splitlines() if len(line.split()) == 2]
        path.write_text("\n".join(line for line in lines if float(line.split()[0]) <= 2))
    found = new_reasons(root, whole)
    mine = whole.frames[whole.frames["clip"] == "4"]
    late = mine[mine["time_s"] > 2.1]
    assert set(found) == {f"{late['source'].iloc[0]}#{i}" for i in late["source_index"]}
    assert set(found.values()) == {"nobody rated arousal here"}
    assert len(load_semaine(root).frames) == len(whole.frames) - len(late)


def test_a_rater_missing_for_one_dimension_changes_its_count_alone(root, whole):
    path = traces(root, 5, "V")[0]
    path.unlink()
    corpus = load_semaine(root)
    assert new_reasons(root, whole) == {path.relative_to(root).as_posix(): "trace is missing"}
    mine = corpus.frames["clip"] == "5"
    assert (
        corpus.frames.loc[mine, "valence_raters"].sum() < whole.frames["valence_raters"][mine].sum()
    )
    assert corpus.frames["arousal_raters"].equals(whole.frames["arousal_raters"])


def test_a_rater_has_one_trace_of_each_dimension(root, whole):
    path = traces(root, 5, "V")[0]
    second = path.with_name(path.name.replace("DV", "2DV"))
    second.write_text("0.0 0.9\n9.0 0.9\n")
    rater = path.name[1]
    reason = f"a second trace of valence by rater {rater}"
    assert new_reasons(root, whole) == {second.relative_to(root).as_posix(): reason}
    assert load_semaine(root).frames.equals(whole.frames)


@pytest.mark.parametrize(
    "damage, reason",
    [
        (lambda f: (f / "session.xml").write_text("<session><"), "not readable as XML"),
        (lambda f: [p.unlink() for p in f.glob("*DV.txt")], "has no usable valence trace"),
        (lambda f: next(f.glob("*User*.avi")).write_bytes(b"RIFF"), "video does not open"),
        (lambda f: next(f.glob("*User*.avi")).unlink(), "has no usable video of the User"),
    ],
)
def test_a_session_that_cannot_be_used_is_listed_and_the_others_kept(root, whole, damage, reason):
    damage(root / "Sessions/2")
    frames = load_semaine(root).frames
    assert frames.reset_index(drop=True).equals(
        whole.frames[whole.frames["clip"] != "2"].reset_index(drop=True)
    )
    assert any(reason in found for found in new_reasons(root, whole).values())


def test_sessions_without_a_user_or_a_character_are_listed(root, whole):
    edit_xml(root, 1, 'role="User"', 'role="Observer"')
    edit_xml(root, 2, 'character="[A-Za-z]+"', 'character="Beginning"')
    found = new_reasons(root, whole)
    assert "names no subject with the role User" in found["Sessions/1/session.xml"]
    assert "(Beginning), left out" in found["Sessions/2/session.xml"]
    assert set(load_semaine(root).frames["clip"]) == {"3", "4", "5", "6"}


def test_a_placeholder_is_no_user(root, whole):
    edit_xml(root, 1, 'role="User" id="[^"]*"', 'role="User" id="Unknown"')
    found = new_reasons(root, whole)
    assert "names no subject with the role User" in found["Sessions/1/session.xml"]


@pytest.mark.parametrize("ending", [".wmv", ".M4V", ".mpeg", ".mts", ".flv"])
def test_videos_have_many_endings(root, whole, ending):
    video = next((root / "Sessions/2").glob("*User*.avi"))
    video.rename(video.with_suffix(ending))  # FFmpeg looks at the content, not at the name
    frames = load_semaine(root).frames
    assert frames.drop(columns="source").equals(whole.frames.drop(columns="source"))
    assert ending in set(frames["source"].str[-len(ending) :])


def test_why_no_video_is_taken_is_told_file_by_file(root, whole):
    folder = root / "Sessions/2"
    video = next(folder.glob("*User*.avi"))
    video.rename(folder / "2008.12.05_User_AV.rm")
    (folder / "2008.12.05_Operator_AV.avi").write_bytes(b"RIFF")
    (folder / "2008.12.05_User_Profile.avi").write_bytes(b"RIFF")
    (folder / "2008.12.05_User_Poppy.wmv").write_bytes(b"RIFF")
    (folder / "User HeadMounted.wav").touch()
    (reason,) = new_reasons(root, whole).values()
    assert reason.startswith("has no usable video of the User (")
    for said in (
        "User_AV.rm: is no known kind of video", 'Operator_AV.avi: has no "User" in its name',
        "User_Profile.avi: shows the profile", "User_Poppy.wmv: the video does not open",
    ):  # fmt: skip
        assert said in reason
    assert ".wav" not in reason and ".txt" not in reason
    assert losses(load_semaine(root).problems) == "1 session"
    # Beside one that opens, only a broken video of the User is worth a note.
    (folder / "2008.12.05_User_AV.rm").rename(video)
    ((path, reason),) = new_reasons(root, whole).items()
    assert path.endswith("User_Poppy.wmv") and "another video of the User is taken" in reason
    assert losses(load_semaine(root).problems) == "nothing"


def test_a_video_that_ends_before_its_traces_is_said(root, whole):
    video = next((root / "Sessions/6").glob("*User*.avi"))
    write_film(video, read_film(video)[:20], fps=12.5)
    (reason,) = new_reasons(root, whole).values()
    assert reason.startswith("the video ends after 1.6 s, the ratings go on to")
    assert len(load_semaine(root).frames.query("clip == '6'")) == 2


def test_unusable_copies_are_refused_with_the_cure(root, tmp_path, tiny_root):
    with pytest.raises(UserError, match="no such folder; set VAAFFECT_SEMAINE"):
        load_semaine(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds AFEW-VA, not SEMAINE"):
        load_semaine(tiny_root)
    avec = tmp_path / "avec" / "emotion labels" / "train" / "FC_train_labels"
    avec.mkdir(parents=True)
    with pytest.raises(UserError, match="AVEC 2012 repackaging of SEMAINE"):
        load_semaine(tmp_path / "avec")
    for session in range(1, 7):
        edit_xml(root, session, 'role="User"', 'role="x"')
    with pytest.raises(UserError, match="no usable frame; the first fault is Sessions/1/session"):
        load_semaine(root)


def test_traces_on_another_scale_refuse_the_corpus(root):
    for path in root.rglob("*D[VA].txt"):
        lines = [line.split() for line in path.read_text().splitlines()]
        pairs = [(a, 100 * float(b)) for a, b in (p for p in lines if len(p) == 2)]
        path.write_text("".join(f"{a} {b:.2f}\n" for a, b in pairs))
    with pytest.raises(UserError, match=r"beyond FEELtrace's scale of \[-1, 1\], and so do"):
        read_sessions(root)


def test_files_without_rights_are_named(lab_root, public_folder, whole):
    root = shutil.copytree(lab_root, public_folder / "lab")
    path = traces(root, 1, "A")[0]
    with without_rights(path):
        found = new_reasons(root, whole)
    assert found == {path.relative_to(root).as_posix(): "cannot be read (Permission denied)"}
    with without_rights(root / "Sessions/2"):
        corpus = load_semaine(root)
    assert "2" not in set(corpus.frames["clip"])
    assert "folder cannot be opened (Permission denied)" in set(corpus.problems["reason"])


def test_alpha_is_that_of_raters_who_share_a_signal():
    """A signal S that n share, with independent noise N: alpha = n S / (n S + N), in variances."""
    rng, times = np.random.default_rng(0), np.arange(4000) * 0.02
    shared = rng.normal(0, 0.3, len(times))

    def raters(noise, count=5, offset=0.0):
        return [RaterTrace(str(i), times, shared + i * offset + rng.normal(0, noise, len(times)))
                for i in range(count)]  # fmt: skip

    for noise, count in ((0.3, 5), (0.6, 3)):
        signal = count * 0.3**2
        expected = signal / (signal + noise**2)
        assert cronbach_alpha(raters(noise, count), times) == pytest.approx(expected, abs=0.02)
    assert cronbach_alpha(raters(0.0, offset=0.2), times) == pytest.approx(1)
    alone = [RaterTrace("1", times, rng.normal(size=len(times))) for _ in range(4)]
    assert abs(cronbach_alpha(alone, times)) < 0.1
    # Times that one of them did not rate say nothing, and some traces have no alpha.
    silent = RaterTrace("6", times[:2000], shared[:2000])
    both = [*raters(0.0, 2), silent]
    assert cronbach_alpha(both, times) == pytest.approx(1, abs=2e-3)  # a trace's end is held
    assert np.isnan(cronbach_alpha(both, times[2100:]))
    assert np.isnan(cronbach_alpha(raters(0.1, 1), times))
    assert np.isnan(cronbach_alpha([RaterTrace("1", times, 0 * shared)] * 2, times))
