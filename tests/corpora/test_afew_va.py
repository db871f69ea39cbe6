import json
import shutil

import numpy as np
import pandas as pd
import pytest
from rights import without_rights

from vaaffect.base.errors import UserError
from vaaffect.corpora.afew_va import load_afew_va
from vaaffect.corpora.corpus import hashed_subject
from vaaffect.corpora.problems import NOTHING, is_placeholder, losses


@pytest.fixture
def root(tiny_root, tmp_path):
    """A copy of the tiny corpus that a test may damage."""
    return shutil.copytree(tiny_root, tmp_path / "copy")


def find_clips(root) -> list:
    return sorted(root.glob("01/*/*.json"))


def edit(root, change, clip: str = "001"):
    path = root / "01" / clip / f"{clip}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_every_frame_on_disk_is_loaded_with_its_label(tiny_root, tiny_corpus):
    pictures = sorted(p.relative_to(tiny_root).as_posix() for p in tiny_root.rglob("*.png"))
    assert sorted(tiny_corpus.frames["source"]) == pictures
    assert tiny_corpus.problems.empty
    assert tiny_corpus.simulated
    assert tiny_corpus.label == "AFEW-VA (simulated)"
    content = json.loads((tiny_root / "01/003/003.json").read_text())
    mine = tiny_corpus.frames["clip"] == "003"
    for (_, row), points in zip(
        tiny_corpus.frames[mine].iterrows(), tiny_corpus.landmarks[mine], strict=True
    ):
        frame = content["frames"][f"{row['frame']:05d}"]
        assert (10 * row["valence"], 10 * row["arousal"]) == pytest.approx(
            (frame["valence"], frame["arousal"])
        )
        assert np.array_equal(points, np.array(frame["landmarks"], np.float32))
        assert row["subject"] == hashed_subject(content["actor"])


def test_names_of_actors_do_not_leave_the_loader(tiny_root, tiny_corpus):
    actors = {json.loads(p.read_text())["actor"] for p in find_clips(tiny_root)}
    table = tiny_corpus.frames.to_csv()
    assert not any(actor in table for actor in actors)
    assert tiny_corpus.frames["subject"].nunique() == len(actors)


def test_subjects_of_a_real_corpus_are_numbers_that_no_list_of_names_resolves(
    tiny_root, tiny_corpus, tmp_path
):
    real = tmp_path / "real"
    shutil.copytree(tiny_root, real, ignore=shutil.ignore_patterns("simulated.json"))
    corpus = load_afew_va(real)
    assert not corpus.simulated
    order = tiny_corpus.frames["subject"].unique()  # as they are first seen
    number = {subject: f"afew-va-{i:03d}" for i, subject in enumerate(order, 1)}
    assert corpus.frames["subject"].tolist() == [number[s] for s in tiny_corpus.frames["subject"]]
    actors = {json.loads(path.read_text())["actor"] for path in find_clips(real)}
    assert not {hashed_subject(actor) for actor in actors} & set(corpus.frames["subject"])


def test_flat_nested_and_littered_copies_load_the_same(tiny_corpus, root, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for clip in find_clips(root):
        shutil.copytree(clip.parent, flat / clip.stem)
    shutil.copytree(flat / "001", flat / "001_cropped")
    (flat / "readme.txt").write_text("hello")
    nested = tmp_path / "AFEW-VA" / "AFEW-VA"
    shutil.copytree(root, nested)
    for place in (flat, nested.parent):
        corpus = load_afew_va(place)
        columns = ["clip", "frame", "valence", "arousal"]
        assert corpus.frames[columns].equals(tiny_corpus.frames[columns])
        same, known = (pd.factorize(c.frames["subject"])[0] for c in (corpus, tiny_corpus))
        assert np.array_equal(same, known)
    assert corpus.label == load_afew_va(nested / "01").label == "AFEW-VA (simulated)"


def test_more_than_999_clips_are_read_in_their_order(root):
    for old, new in (("019", "999"), ("020", "1000")):
        (root / f"01/{old}/{old}.json").rename(root / f"01/{old}/{new}.json")
        (root / f"01/{old}").rename(root / f"01/{new}")
    clips = load_afew_va(root).frames["clip"].unique().tolist()
    assert clips == [*(f"{i:03d}" for i in range(1, 19)), "999", "1000"]


def test_frames_are_sorted_by_number_whatever_the_order_in_the_file(root):
    edit(root, lambda c: c.update(frames=dict(reversed(c["frames"].items()))))
    frames = load_afew_va(root).frames
    assert frames[frames["clip"] == "001"]["frame"].is_monotonic_increasing


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda f: f.pop("valence"), "has no 'valence'"),
        (lambda f: f.pop("landmarks"), "has no 'landmarks'"),
        (lambda f: f.update(landmarks=f["landmarks"][:67]), "has 67 landmarks instead of 68"),
        (lambda f: f.update(landmarks=[]), "has 0 landmarks instead of 68"),
        (lambda f: f["landmarks"].__setitem__(3, [float("nan"), 1]), "a landmark is not a finite"),
        (lambda f: f.update(arousal=float("nan")), "not a finite number"),
        (lambda f: f.update(arousal="high"), "not numbers"),
        (lambda f: f.update(landmarks=[[100.0, 80.0]] * 68), "they extend 0 x 0 pixels"),
        (lambda f: f.update(landmarks=[[x, 80.0] for x, _ in f["landmarks"]]), "no face: they"),
    ],
)
def test_one_bad_frame_is_listed_and_the_rest_kept(root, tiny_corpus, change, reason):
    edit(root, lambda c: change(c["frames"]["00005"]))
    corpus = load_afew_va(root)
    assert len(corpus.frames) == len(tiny_corpus.frames) - 1
    (problem,) = corpus.problems.to_dict("records")
    assert problem["path"] == "01/001/001.json#00005" and problem["lost"] == "frame"
    assert reason in problem["reason"]


def test_missing_pictures_and_broken_files_are_listed(root, tiny_corpus):
    (root / "01/001/00000.png").unlink()
    (root / "01/002/002.json").write_text('{"actor": "x", "frames": {')
    (root / "01/003/003.json").write_text("[]")
    edit(root, lambda c: c.pop("actor"), clip="004")
    edit(root, lambda c: c["frames"].pop("00010"), clip="005")
    shutil.copytree(root / "01/006", root / "02/006")
    (root / "01/007/00000.png").rename(root / "01/007/00000.heic")
    corpus = load_afew_va(root)
    assert dict(corpus.problems[["path", "reason"]].itertuples(index=False)) == {
        "01/001/001.json#00000": "picture 00000.png is missing",
        "01/002/002.json": "not readable as JSON (JSONDecodeError)",
        "01/003/003.json": 'has no "frames"',
        "01/004/004.json": 'has no "actor", so it cannot be put into a fold by subject',
        "01/005/00010.png": "picture without labels",
        "01/007/007.json#00000": "00000.heic is HEIC, which is not read; export it as JPEG",
        "02/006/006.json": "clip 006 was already read: 01/006/006.json",
    }
    assert losses(corpus.problems) == "2 frames, 3 clips"
    gone = tiny_corpus.frames["clip"].isin(["002", "003", "004"]).sum() + 3
    assert len(corpus.frames) == len(tiny_corpus.frames) - gone


def test_files_without_rights_are_named(tiny_root, public_folder, tiny_corpus):
    root = shutil.copytree(tiny_root, public_folder / "wild")
    with without_rights(root / "01/001/001.json", root / "01/002"):
        corpus = load_afew_va(root)
    assert losses(corpus.problems) in ("1 clip, 1 folder", "1 folder, 1 clip")
    assert dict(corpus.problems[["path", "reason"]].itertuples(index=False)) == {
        "01/001/001.json": "cannot be read (Permission denied)",
        "01/002": "folder cannot be opened (Permission denied)",
    }
    assert set(tiny_corpus.frames["clip"]) - set(corpus.frames["clip"]) == {"001", "002"}


def test_a_converted_copy_with_jpeg_pictures_is_read(root, tiny_corpus):
    for path in root.glob("01/001/*.png"):
        path.rename(path.with_suffix(".jpg"))
    corpus = load_afew_va(root)
    assert corpus.problems.empty and len(corpus.frames) == len(tiny_corpus.frames)
    assert corpus.frames["source"].iloc[0] == "01/001/00000.jpg"


def test_unusable_copies_are_refused_with_the_cure(root, tmp_path, lab_root):
    with pytest.raises(UserError, match="no such folder; set VAAFFECT_AFEW_VA"):
        load_afew_va(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no AFEW-VA found; expected folders like 01/001"):
        load_afew_va(tmp_path / "empty")
    (tmp_path / "empty/01.zip").touch()
    with pytest.raises(UserError, match="holds archives only; unpack them side by side"):
        load_afew_va(tmp_path / "empty")
    with pytest.raises(UserError, match="holds SEMAINE, not AFEW-VA; set VAAFFECT_AFEW_VA"):
        load_afew_va(lab_root)
    for clip in find_clips(root):
        edit(root, lambda c: c.pop("actor"), clip.stem)
    with pytest.raises(UserError, match=r'001.json: has no "actor".* for 20 of 20 clips; folds by'):
        load_afew_va(root)


def test_one_label_beyond_the_scale_is_a_slip_and_many_are_another_scale(root, tiny_corpus):
    def spoil(share: float) -> None:
        for clip in find_clips(root)[: round(share * 20)]:
            edit(root, lambda c: c["frames"]["00005"].update(valence=11), clip.stem)

    # 70 frames are too few for a share of one in a hundred, so one slip is planted in more of them.
    for clip in find_clips(root):
        for copy in range(3):
            name = f"{100 * (copy + 1) + int(clip.stem)}"
            shutil.copytree(clip.parent, root / f"0{copy + 2}" / name)
            (root / f"0{copy + 2}" / name / clip.name).rename(
                root / f"0{copy + 2}" / name / f"{name}.json"
            )
    spoil(0.05)
    corpus = load_afew_va(root)
    reason = "a label is 11, beyond [-10, 10]"
    assert corpus.problems.to_dict("records") == [
        {"path": "01/001/001.json#00005", "reason": reason, "lost": "frame"}
    ]
    spoil(0.5)
    with pytest.raises(UserError, match=r"001.json#00005: a label is 11.*not on AFEW-VA's scale"):
        load_afew_va(root)


def test_a_label_that_is_no_whole_number_is_kept_and_noted(root, tiny_corpus):
    edit(root, lambda c: c["frames"]["00005"].update(valence=2.5, arousal=-3))
    corpus = load_afew_va(root)
    assert len(corpus.frames) == len(tiny_corpus.frames)
    assert corpus.frames.query("clip == '001' and frame == 5")["valence"].item() == 0.25
    (problem,) = corpus.problems.to_dict("records")
    assert problem["path"] == "01/001/001.json#00005" and problem["lost"] == NOTHING
    assert problem["reason"] == "labels are 2.5 and -3, not whole numbers; kept as they are"
    assert losses(corpus.problems) == "nothing"


@pytest.mark.parametrize("name", ["unknown", "N/A", "None", " - ", "?", "Actor", "", "??", "n.a."])
def test_clips_whose_actor_is_nobody_are_left_out_unless_most_are(root, tiny_corpus, name):
    for clip in ("001", "002"):
        edit(root, lambda c: c.update(actor=name), clip)
    corpus = load_afew_va(root)
    assert set(tiny_corpus.frames["clip"]) - set(corpus.frames["clip"]) == {"001", "002"}
    assert corpus.problems["path"].tolist() == ["01/001/001.json", "01/002/002.json"]
    assert corpus.problems["reason"].str.endswith("cannot be put into a fold by subject").all()
    assert losses(corpus.problems) == "2 clips"
    for clip in find_clips(root)[:11]:
        edit(root, lambda c: c.update(actor=name), clip.stem)
    with pytest.raises(UserError, match="for 11 of 20 clips; folds by subject need the actor's"):
        load_afew_va(root)


@pytest.mark.parametrize("name", ["Nona Known", "Actor 7", "Una", "Manon", "A-1"])
def test_names_of_somebody_are_no_placeholders(name):
    assert not is_placeholder(name)


def test_labels_that_somebody_divided_by_ten_are_refused(root):
    def divide(content: dict) -> None:
        for frame in content["frames"].values():
            frame["valence"], frame["arousal"] = frame["valence"] / 10, frame["arousal"] / 10

    for clip in find_clips(root):
        edit(root, divide, clip.stem)
    with pytest.raises(UserError, match="somebody has divided them by 10 already"):
        load_afew_va(root)


def test_fingerprint_follows_content_not_place(root, tiny_corpus):
    assert load_afew_va(root).fingerprint() == tiny_corpus.fingerprint()
    edit(root, lambda c: c["frames"]["00000"].update(valence=c["frames"]["00000"]["valence"] - 1))
    assert load_afew_va(root).fingerprint() != tiny_corpus.fingerprint()
