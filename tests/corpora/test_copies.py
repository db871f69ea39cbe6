"""Copies of corpora that have gone through Windows, a Mac and old disks, or are made of links."""

import codecs
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vaaffect.__main__ import main
from vaaffect.base import UserError
from vaaffect.corpora.afew_va import load_afew_va
from vaaffect.corpora.check import load_any
from vaaffect.corpora.crops import build_crops
from vaaffect.corpora.problems import losses
from vaaffect.corpora.semaine import load_semaine

LATIN = os.fsdecode("café".encode("latin-1"))
CLIPS = ("001", "002", "003", "004")


@pytest.fixture
def wild(tiny_root, tmp_path) -> Path:
    """Four clips that a test may spoil."""
    root = tmp_path / "copies" / "wild"
    for clip in CLIPS:
        shutil.copytree(tiny_root / "01" / clip, root / "01" / clip)
    shutil.copy(tiny_root / "simulated.json", root)
    return root


@pytest.fixture
def lab(lab_root, tmp_path) -> Path:
    """Three sessions that a test may spoil."""
    root = tmp_path / "lab"
    for session in ("1", "2", "3"):
        shutil.copytree(lab_root / "Sessions" / session, root / "Sessions" / session)
    shutil.copy(lab_root / "simulated.json", root)
    return root


def litter(folder: Path) -> None:
    """What a Mac and Windows leave beside every file."""
    for path in list(folder.iterdir()):
        if path.is_file():
            (folder / f"._{path.name}").write_bytes(b"\0\5\26\7" + bytes(200))
            (folder / "__MACOSX").mkdir(exist_ok=True)
            shutil.copy(path, folder / "__MACOSX")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (folder / name).write_bytes(b"\0\0\0\1Bud1")


def listed(corpus) -> dict[str, str]:
    return dict(corpus.problems[["path", "reason"]].itertuples(index=False))


def same_but_for_names(corpus, other) -> bool:
    columns = [name for name in corpus.frames if name != "source"]
    return corpus.frames[columns].equals(other.frames[columns])


def test_a_copy_that_windows_and_a_mac_had_reads_as_before(wild, capsys):
    before = load_afew_va(wild)
    path = {clip: wild / "01" / clip / f"{clip}.json" for clip in CLIPS}
    text = json.dumps(json.loads(path["001"].read_text()), indent=1)
    path["001"].write_bytes(codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode())
    path["002"].write_bytes(path["002"].read_text().encode("utf-16"))
    path["003"].rename(path["003"].with_suffix(".JSON"))
    for picture in [*wild.glob("01/003/*.png"), wild / "01/001/00005.png"]:
        picture.rename(picture.with_suffix(".PNG"))
    for folder in [wild, *wild.glob("01/*")]:
        litter(folder)
    corpus = load_any(wild)
    assert corpus.problems.empty and corpus.simulated
    assert same_but_for_names(corpus, before)
    assert corpus.frames["source"].str.lower().tolist() == before.frames["source"].tolist()
    assert (corpus.landmarks == before.landmarks).all()
    assert main(["check", "--workers", "1", str(wild)]) == 0
    out = capsys.readouterr().out
    count = len(before.frames)
    assert f"pictures: {count} of {count} can be used" in out and "left out: nothing" in out
    assert "note" not in out


def test_a_clip_that_cannot_be_read_is_said_precisely_and_ends_nothing(wild):
    before = load_afew_va(wild)
    (wild / "01/001/001.json").write_bytes(b'{\n"actor": "Beno\xeet"}')
    (wild / "01/002/002.json").write_text("[" * 200_000)
    content = json.loads((wild / "01/003/003.json").read_text())
    frame = content["frames"]["00000"]
    content["frames"] |= {"²": frame, "9" * 5000: frame}  # both are digits, says Python
    content["actor"] = "half a character \ud83d"
    (wild / "01/003/003.json").write_text(json.dumps(content))
    corpus = load_afew_va(wild)
    assert listed(corpus) == {
        "01/001/001.json": "line 2 is not in utf-8 (byte 0xee); save the file in UTF-8",
        "01/002/002.json": "not readable as JSON (RecursionError)",
        "01/003/003.json#²": "is not a numbered frame",
        f"01/003/003.json#{'9' * 5000}": "is not a numbered frame",
    }
    left = before.frames["clip"].isin(["003", "004"]).sum()
    assert len(corpus.frames) == left and corpus.frames["subject"].nunique() == 2


def test_each_folder_is_read_once_whatever_links_lead_to_it(wild, tmp_path, capsys):
    before = load_afew_va(wild)
    disk = tmp_path / "another disk"
    (wild / "01/004").rename(wild / "01/004 away")
    shutil.move(wild / "01/004 away", disk / "004")
    (wild / "01/004").symlink_to(disk / "004")
    (wild / "first").symlink_to(disk / "004")  # a clip is one by the folder's own name
    for folder in (wild, wild / "01", *(wild / "01" / clip for clip in CLIPS)):
        (folder / "back").symlink_to(wild)
        (folder / "up").symlink_to(wild.parent)
    (tmp_path / "corpus").symlink_to(wild)
    for root in (wild, tmp_path / "corpus"):
        corpus = load_any(root)
        assert corpus.problems.empty and same_but_for_names(corpus, before)
        assert corpus.frames["source"].nunique() == len(before.frames)
    assert main(["check", "--quick", str(tmp_path / "corpus")]) == 0
    out = capsys.readouterr().out
    assert "left out: nothing" in out and "already read" not in out
    shutil.rmtree(disk)  # is not there today
    (wild / "first").unlink()
    assert listed(load_any(wild)) == {"01/004": "link leads nowhere (No such file or directory)"}
    assert losses(load_any(wild).problems) == "1 folder"


def test_links_to_simulated_clips_stay_simulated(wild, lab, tmp_path):
    for root, load in ((wild / "01", load_afew_va), (lab / "Sessions", load_semaine)):
        links = tmp_path / f"links to {root.name}"
        links.mkdir()
        for folder in root.iterdir():
            (links / folder.name).symlink_to(folder)
        assert load(links).label.endswith("(simulated)")
        (tmp_path / root.name).symlink_to(root)
        assert load(tmp_path / root.name).simulated


def test_names_of_any_bytes_are_named_and_the_others_read(wild, tmp_path, capsys):
    root = wild.rename(wild.with_name(LATIN))
    before = load_afew_va(root)
    picture = next(root.glob("01/001/*.png"))
    shutil.copy(picture, picture.with_name(f"{LATIN}.png"))
    (root / f"{LATIN}.txt").touch()
    (root / LATIN).mkdir()
    (root / "01/004").rename(root / LATIN / "004")
    (root / LATIN / "004/00000.png").write_bytes(b"")
    assert main(["check", "--workers", "1", str(root)]) == 0
    out = capsys.readouterr().out
    assert "copies/caf\\xe9: AFEW-VA (simulated)" in out
    assert "1 x picture without labels\n      01/001/caf\\xe9.png\n" in out
    assert "truncated or corrupt)\n      caf\\xe9/004/00000.png\n" in out
    assert "left out: 1 frame" in out
    # What is made of it, tables above all, is written too.
    corpus = load_afew_va(root)
    corpus.problems.to_csv(tmp_path / "problems.csv")
    assert len(corpus.fingerprint()) == 64 and corpus.fingerprint() != before.fingerprint()
    crops = build_crops(corpus, 16, cache=tmp_path / "crops", workers=1)
    assert len(crops.frames) == len(before.frames) - 1
    assert crops.frames["source"].str.startswith("caf\\xe9/004/").sum() > 0
    assert crops.problems["path"].tolist() == ["caf\\xe9/004/00000.png"]
    with pytest.raises(UserError, match=r"caf\\xe9/nowhere: no such folder"):
        load_afew_va(root / "nowhere")


def test_a_terminal_that_takes_no_such_name_is_no_reason_to_end(wild):
    (wild / "01/001" / f"{LATIN} né.png").write_bytes(b"")
    root = wild.rename(wild.with_name(LATIN))
    command = [sys.executable, "-m", "vaaffect", "check", "--quick", root]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "01/001/caf\\xe9 n\\xe9.png" in done.stdout and "caf\\xe9: AFEW-VA" in done.stdout


def test_a_laboratory_that_windows_and_a_mac_had_reads_as_before(lab):
    before = load_semaine(lab)
    one, two, three = (lab / "Sessions" / session for session in ("1", "2", "3"))
    text = (one / "session.xml").read_text()
    declared = f'<?xml version="1.0" encoding="UTF-8"?>\r\n{text}'
    (one / "session.xml").write_bytes(declared.encode("utf-16"))
    (two / "session.xml").write_bytes(codecs.BOM_UTF8 + (two / "session.xml").read_bytes())
    (three / "session.xml").rename(three / "SESSION.XML")
    for path in one.glob("R*.txt"):
        path.write_bytes(path.read_bytes().replace(b".", b",").replace(b"\n", b"\r\n"))
    for path in two.glob("R*.txt"):
        path.write_bytes(codecs.BOM_UTF8 + path.read_bytes().replace(b" ", b";"))
    for path in three.glob("R*.txt"):
        path.with_suffix(".TXT").write_bytes(path.read_bytes().replace(b" ", b","))
        path.unlink()
    for folder in (lab, one, two, three):
        litter(folder)
    after = load_any(lab)
    assert after.frames.equals(before.frames)
    assert sorted(after.problems["reason"]) == sorted(before.problems["reason"])


def test_a_session_that_cannot_be_read_ends_nothing(lab):
    before = load_semaine(lab)
    (lab / "Sessions/1/session.xml").write_bytes(b'<?xml version="1.0" encoding="x-x"?><session/>')
    (lab / "Sessions/2").rename(lab / "Sessions" / LATIN)
    trace = next((lab / "Sessions/3").glob("*DV.txt"))
    trace.write_text("".join(f"{t / 50} 0.5 0\n" for t in range(200)))
    corpus = load_semaine(lab)
    new = {path: why for path, why in listed(corpus).items() if why not in listed(before).values()}
    assert "not readable as XML" in new.pop("Sessions/1/session.xml")
    reason = new.pop(f"Sessions/3/{trace.name}")
    assert reason.startswith("trace cannot be read: its line 1 is '0.0 0.5 0', which is not")
    assert all(path.startswith("Sessions/caf\\xe9/") for path in new)
    assert (corpus.frames["clip"] == "3").sum() == (before.frames["clip"] == "3").sum()
    assert corpus.problems.to_csv().encode()
