import json
import shutil

import numpy as np
import pytest

from vaaffect.afew_va import find_clips, load_afew_va
from vaaffect.corpus import hashed_subject
from vaaffect.errors import UserError


@pytest.fixture
def root(tiny_root, tmp_path):
    """A copy of the tiny corpus that a test may damage."""
    return shutil.copytree(tiny_root, tmp_path / "copy")


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
        columns = ["subject", "clip", "frame", "valence", "arousal"]
        assert corpus.frames[columns].equals(tiny_corpus.frames[columns])


def test_frames_are_sorted_by_number_whatever_the_order_in_the_file(root):
    edit(root, lambda c: c.update(frames=dict(reversed(c["frames"].items()))))
    frames = load_afew_va(root).frames
    assert frames[frames["clip"] == "001"]["frame"].is_monotonic_increasing


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda f: f.pop("valence"), "has no 'valence'"),
        (lambda f: f.update(landmarks=f["landmarks"][:67]), "instead of 68 finite points"),
        (lambda f: f.update(landmarks=[]), "instead of 68 finite points"),
        (lambda f: f["landmarks"].__setitem__(3, [float("nan"), 1]), "instead of 68 finite"),
        (lambda f: f.update(arousal=float("nan")), "not a finite number"),
        (lambda f: f.update(arousal="high"), "not numbers"),
    ],
)
def test_one_bad_frame_is_listed_and_the_rest_kept(root, tiny_corpus, change, reason):
    edit(root, lambda c: change(c["frames"]["00001"]))
    corpus = load_afew_va(root)
    assert len(corpus.frames) == len(tiny_corpus.frames) - 1
    (problem,) = corpus.problems.to_dict("records")
    assert problem["path"] == "01/001/001.json#00001"
    assert reason in problem["reason"]


def test_missing_pictures_and_broken_files_are_listed(root, tiny_corpus):
    (root / "01/001/00000.png").unlink()
    (root / "01/002/002.json").write_text('{"actor": "x", "frames": {')
    (root / "01/003/003.json").write_text("[]")
    corpus = load_afew_va(root)
    assert corpus.problems["reason"].tolist() == [
        "picture 00000.png is missing",
        "not readable as JSON (JSONDecodeError)",
        'has no "frames"',
    ]
    gone = tiny_corpus.frames["clip"].isin(["002", "003"]).sum() + 1
    assert len(corpus.frames) == len(tiny_corpus.frames) - gone


def test_unusable_copies_are_refused_with_the_cure(root, tmp_path):
    with pytest.raises(UserError, match="no such folder; set VAAFFECT_AFEW_VA"):
        load_afew_va(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no AFEW-VA clips found; expected folders like 01/001"):
        load_afew_va(tmp_path / "empty")
    path = edit(root, lambda c: c.pop("actor"))
    with pytest.raises(UserError, match='has no "actor"') as error:
        load_afew_va(root)
    assert str(path) in str(error.value)


def test_labels_beyond_the_scale_are_refused(root):
    edit(root, lambda c: c["frames"]["00001"].update(valence=11))
    with pytest.raises(UserError, match=r"frame 00001 has a label of 11, beyond \[-10, 10\]"):
        load_afew_va(root)


def test_a_corpus_without_one_usable_frame_is_refused(root):
    for path in find_clips(root):
        path.write_text("{")
    with pytest.raises(UserError, match="none of its 20 clips is usable"):
        load_afew_va(root)


def test_fingerprint_follows_content_not_place(root, tiny_corpus):
    assert load_afew_va(root).fingerprint() == tiny_corpus.fingerprint()
    edit(root, lambda c: c["frames"]["00000"].update(valence=c["frames"]["00000"]["valence"] - 1))
    assert load_afew_va(root).fingerprint() != tiny_corpus.fingerprint()
