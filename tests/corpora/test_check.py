"""`python -m vaaffect check`: damage a corpus by hand, and read what it says."""

import json
import re
import shutil
from fractions import Fraction

import numpy as np
import pytest
from clips import AVI, write_clip
from conftest import TINY, TINY_LAB
from films import read_film

from vaaffect.__main__ import main
from vaaffect.corpora.semaine import load_semaine
from vaaffect.corpora.videos import probe_video


@pytest.fixture
def wild(tiny_root, tmp_path):
    return shutil.copytree(tiny_root, tmp_path / "wild corpus é")


@pytest.fixture
def lab(lab_root, tmp_path):
    return shutil.copytree(lab_root, tmp_path / "lab")


def check(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main(["check", "--workers", "1", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_sound_corpus_in_the_wild_is_recognized(capsys, tiny_root, tiny_corpus):
    code, out, _ = check(capsys, tiny_root)
    assert code == 0
    assert f"{tiny_root}: AFEW-VA (simulated)" in out
    count = len(tiny_corpus.frames)
    assert f"{TINY.clips} clips, {count} annotated frames, {TINY.subjects} subjects" in out
    low, high = (10 * f(tiny_corpus.frames["valence"]) for f in (min, max))
    assert f"valence on [-10, 10]: {low:.2f} to {high:.2f}, mean" in out
    assert f"pictures: {count} of {count} can be used" in out
    assert "left out: nothing" in out and "warning" not in out


def test_a_sound_laboratory_is_recognized(capsys, lab_root):
    code, out, _ = check(capsys, lab_root)
    assert code == 0
    assert f"{lab_root}: SEMAINE (simulated)" in out
    assert f"{TINY_LAB.sessions} clips" in out and f"{TINY_LAB.subjects} subjects" in out
    assert "valence raters per frame: " in out and "mean disagreement" in out
    assert out.count("frames of 352 x 288 at 12.5 per second") == TINY_LAB.sessions


def test_damage_by_hand_is_reported_exactly(capsys, wild):
    (wild / "01/001/00000.png").unlink()
    picture = wild / "01/002/00005.png"
    picture.write_bytes(picture.read_bytes()[:-3000])
    corrupt = bytearray((wild / "01/003/00010.png").read_bytes())
    corrupt[5000:5100] = bytes(100)
    (wild / "01/003/00010.png").write_bytes(corrupt)
    path = wild / "01/004/004.json"
    content = json.loads(path.read_text())
    content["frames"]["00000"]["landmarks"] = [
        [x + 5000, y] for x, y in content["frames"]["00000"]["landmarks"]
    ]
    content["frames"]["00005"]["landmarks"][0] = [1e6, 25]
    path.write_text(json.dumps(content))
    (wild / "01/005/005.json").write_text("{")
    code, out, _ = check(capsys, wild)
    assert code == 0
    text = " ".join(out.split())
    assert "1 x picture 00000.png is missing 01/001/001.json#00000" in text
    assert "1 x not readable as JSON (JSONDecodeError) 01/005/005.json" in text
    assert (
        "2 x picture cannot be decoded (truncated or corrupt) 01/002/00005.png 01/003/00010.png"
        in text
    )
    assert "1 x the landmarks lie outside the picture 01/004/00000.png" in text
    assert "1 x the landmarks reach far beyond the picture 01/004/00005.png" in text
    assert "left out: 5 frames, 1 clip" in text
    quick = check(capsys, wild, "--quick")[1]
    assert "left out: 1 frame, 1 clip" in quick and "pictures: not decoded" in quick


def test_notes_do_not_bury_what_was_lost(capsys, wild):
    for path in sorted(wild.glob("01/*/*.json"))[:15]:
        (path.parent / "09999.png").write_bytes(next(path.parent.glob("*.png")).read_bytes())
    out = check(capsys, wild, "--quick")[1]
    assert "left out: nothing" in out and "15 notes, by which nothing is lost:" in out
    (wild / "01/020/020.json").write_text("{")
    out = check(capsys, wild, "--quick")[1]
    lost, noted = out.split("15 notes, by which nothing is lost:")
    assert "left out: 1 clip" in lost and "not readable as JSON" in lost
    assert "15 x picture without labels" in noted and "picture without labels" not in lost


def test_one_subject_is_told_to_be_too_few(capsys, wild):
    for path in wild.glob("01/*/*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"actor": "Ada"}))
    out = check(capsys, wild, "--quick")[1]
    assert ", 1 subject\n" in out
    assert "warning: 1 subject is too few for 5 folds by subject" in out
    assert "is seen in 100% of the frames" in out


def test_a_truncated_video_is_read_as_far_as_it_goes_and_that_is_said(capsys, lab):
    before = load_semaine(lab).frames.query("clip == '1'")
    video = next((lab / "Sessions/1").glob("*.avi"))
    length = probe_video(video).seconds
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    code, out, _ = check(capsys, lab, "--all")
    assert code == 0
    end = float(re.search(r"the video ends after ([\d.]+) s, the ratings go on to", out)[1])
    assert 0.3 * length < end < 0.7 * length
    frames = load_semaine(lab).frames.query("clip == '1'")
    assert frames["frame"].tolist() == before.query(f"time_s < {end}")["frame"].tolist()


@pytest.mark.parametrize("damaged", [0, 20])
def test_a_damaged_frame_of_a_video_is_listed(capsys, lab, damaged):
    video = next((lab / "Sessions/1").glob("*.avi"))
    pictures = [picture[:, :, ::-1] for picture in read_film(video)]
    times = np.arange(len(pictures)) / 12.5
    unit = Fraction(2, 25)
    write_clip(video, times, **AVI | {"unit": unit}, pictures=pictures, cut=[damaged, 25])
    code, out, _ = check(capsys, lab, "--all")
    name = f"{video.relative_to(lab).as_posix()}#{damaged}"
    assert code == 0 and f"1 x frame {damaged} of the video is damaged\n      {name}\n" in out


def test_what_is_unusable_ends_with_exit_code_1(capsys, wild, tmp_path):
    assert check(capsys, tmp_path / "nowhere")[0] == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").touch()
    code, _, err = check(capsys, tmp_path / "other")
    assert code == 1 and "holds neither AFEW-VA" in err
    for path in wild.rglob("*.png"):
        path.write_bytes(b"")
    code, out, err = check(capsys, wild)
    assert code == 1 and "not one of its pictures can be used" in err
    assert "picture cannot be decoded" in out and "more (--all lists them)" in out
    for path in wild.rglob("*.json"):
        path.write_text("{")
    (wild / "simulated.json").unlink()
    code, _, err = check(capsys, wild)
    assert code == 1 and "none of its 20 clips is usable" in err
