"""What a study says before it begins, and all that it refuses at once."""

import json
import re
import shutil
import subprocess
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pandas as pd
import pytest

from vaaffect.__main__ import main
from vaaffect.base import UserError
from vaaffect.base.paths import ROOT
from vaaffect.corpora import data
from vaaffect.corpora.afew_va import load_afew_va
from vaaffect.study import Request, check_study, run_study, workload
from vaaffect.study.times import expected_seconds
from vaaffect.training import How, Recipe, can_be_fetched, imagenet_fault, measured_speed
from vaaffect.training.speed import _of_step

SMALL = ["FOLDS=2", "SIZE=32", "MODELS=[resnet10]", "BASELINES=[geometry-ridge]", "SCRATCH=none",
         "LEAK_MODELS=[]", "PER_MODEL={}", "RECIPE.weights=none", "RECIPE.stop=epochs", "EPOCHS=3",
         "RECIPE.batch_size=4", "ABLATION_MODEL=resnet10", "ABLATION_FOLDS=1", "COMPONENTS={}",
         "ABLATION_EPOCHS=2"]  # fmt: skip


def copied(root: Path, target: Path) -> Path:
    """A copy of a simulated corpus that does not say so: it stands in for a real one."""
    shutil.copytree(root, target, symlinks=True)
    (target / "simulated.json").unlink()
    return target


@pytest.fixture
def real(tiny_root, lab_root, tmp_path, monkeypatch) -> Path:
    """Stand-ins for the real copies, where the variables point."""
    monkeypatch.setenv("VAAFFECT_AFEW_VA", str(copied(tiny_root, tmp_path / "afew va")))
    monkeypatch.setenv("VAAFFECT_SEMAINE", str(copied(lab_root, tmp_path / "semaine")))
    return tmp_path


@pytest.fixture
def offline(tmp_path, monkeypatch) -> Path:
    """An empty cache of torch, and nobody who answers."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("vaaffect.training.can_be_fetched", lambda url: False)
    return tmp_path / "torch" / "hub" / "checkpoints"


def test_all_that_cannot_work_is_listed_at_once(offline, monkeypatch, capsys):
    for name in ("VAAFFECT_AFEW_VA", "VAAFFECT_SEMAINE"):
        monkeypatch.delenv(name, raising=False)
    changes = ["SCRATCH=some", 'KEEP_MODELS="no"', "BASELINES=[hog-svm, vgg11]", "LEAK_MODELS=[x]",
               "MODELS=[vgg11_bn, resnet17]", "WEIGHT_SEEDS=[]"]  # fmt: skip
    assert main(["check", "--study", "thesis", "--set", *changes]) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    for said in (
        "SCRATCH is 'some'", "KEEP_MODELS is 'no'", "unknown baseline 'hog-svm'", "LEAK_MODELS",
        "unknown model 'resnet17'", "WEIGHT_SEEDS is empty", "VAAFFECT_AFEW_VA is not set",
        "VAAFFECT_SEMAINE is not set", "vgg11_bn-6002323d.pth", "vgg11-8a719046.pth",
    ):  # fmt: skip
        assert f"\n- {said}" in error or f"{said}: the ImageNet" in error, said
    listed = re.findall(r"^- (.*)$", error, re.MULTILINE)
    assert error.startswith(f"vaaffect: {len(listed)} things must be put right first:")
    assert len(set(listed)) == len(listed) and all(line[-1] in ".?" for line in listed)


def test_a_study_begins_with_the_same_and_touches_nothing(offline, monkeypatch, tmp_path):
    monkeypatch.delenv("VAAFFECT_AFEW_VA", raising=False)
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"(?s)VAAFFECT_AFEW_VA is not set.*vgg11_bn-6002323d"):
        run_study(Request("thesis", out=out, changes=["SIZE=64"]))
    assert not out.exists()


def test_weights_of_imagenet_are_there_whole_or_the_exact_file_is_named(offline):
    fault = imagenet_fault("affwildnet_resnet18")
    assert fault.startswith(f"{offline}/resnet18-f37072fd.pth: the ImageNet weights of")
    assert "download https://download.pytorch.org/models/resnet18-f37072fd.pth" in fault
    assert f"into {offline} as resnet18-f37072fd.pth" in fault
    offline.mkdir(parents=True)
    (offline / "resnet18-f37072fd.pth").write_bytes(b"half of it")
    assert "damaged or incomplete" in imagenet_fault("resnet18")


def test_whether_somebody_answers_is_asked(tmp_path):
    (tmp_path / "there.pth").write_text("x")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    assert can_be_fetched(f"{address}/there.pth")
    assert not can_be_fetched(f"{address}/gone.pth")
    server.shutdown()
    server.server_close()
    assert not can_be_fetched(f"{address}/there.pth")


def test_the_table_counts_what_the_loaders_find(real, tiny_corpus):
    found = check_study("thesis", SMALL)
    table = dict(found.rows)
    assert table["AFEW-VA"].startswith(f"20 clips, {len(tiny_corpus.frames)} frames, 10 ")
    assert "lost: nothing" in table["AFEW-VA"] and "3 subjects" in table["SEMAINE"]
    assert "(simulated)" not in "".join(table)
    # With three subjects no folds can be cut; whose they are is said, and nothing else is refused.
    [refusal] = found.refusals
    assert refusal.startswith("SEMAINE: 3 subjects are too few")


def test_a_fold_that_does_not_fill_a_batch_is_refused_before_anything_is_made():
    said = r"affwildnet_resnet10: \d+ windows of 3 frames are fewer than one batch"
    with pytest.raises(UserError, match=said):
        check_study("smoke", ["PER_MODEL.affwildnet_resnet10.batch_size=5000"]).refuse()


def test_a_subject_with_most_of_the_frames_is_pointed_out(real, tmp_path):
    for number, path in enumerate(sorted((tmp_path / "afew va").rglob("*.json"))):
        if re.fullmatch(r"\d{3}\.json", path.name):
            clip = json.loads(path.read_text())
            clip["actor"] = "one" if number % 5 else clip["actor"]
            path.write_text(json.dumps(clip))
    found = check_study("thesis", SMALL)
    assert any("so that results are mostly about one face" in said for _, said in found.rows)


def test_simulated_corpora_are_counted_without_being_drawn(tiny_root):
    world = {"clips": 20, "subjects": 10, "frames": [3, 4], "seed": 3}  # conftest.TINY
    frames, sketch = load_afew_va(tiny_root).frames, data.sketch_corpus("wild", world)
    assert len(sketch) == len(frames) and sketch["subject"].nunique() == 10
    by_clip = frames.groupby("clip").size().tolist()
    assert sketch.groupby("clip").size().tolist() == by_clip
    lab = data.sketch_corpus("lab", {"sessions": 6, "subjects": 3, "seconds": [4, 6], "seed": 3})
    assert lab["clip"].nunique() == 6 and lab["subject"].nunique() == 3


def test_the_work_is_what_the_plan_trains_and_finished_runs_are_none(tmp_path):
    recipe = {"name": "r", "batch_size": 4}
    wild, lab = (
        pd.DataFrame({
            "subject": [n // 4 for n in range(80)], "clip": [n // 2 for n in range(80)],
            "frame": range(80), "valence": 0.0, "arousal": 0.0,
        })
        for _ in range(2)
    )  # fmt: skip
    parameters = {"PROFILE": "p", "MODELS": ["resnet10"], "FOLDS": 4, "EPOCHS": 3, "SIZE": 32,
                  "RECIPE": recipe, "LAB": {}, "WEIGHT_SEEDS": [0, 1]}  # fmt: skip
    crops = {kind: workload.without_pixels(kind, table, 32)
             for kind, table in (("wild", wild), ("lab", lab))}  # fmt: skip
    trainings = workload.listed([parameters, {"OUT": "x"}], crops)
    [load] = workload.counted(trainings, tmp_path)
    assert load.trainings == 4 * 2 * 2  # folds, seeds, corpora
    assert load.pictures == 3 * sum(len(t.split.train) for t in trainings)
    run = tmp_path / "some-run"
    run.mkdir()
    config = json.dumps(trainings[0].config(), default=str)
    (run / "config.json").write_text(config)
    assert workload.counted(trainings, tmp_path)[0].finished == 0
    (run / "done.json").write_text("")  # damaged, which is said before anything is trained
    assert workload.counted(trainings, tmp_path)[0].finished == 0
    (run / "done.json").write_text("{}")
    [later] = workload.counted(trainings, tmp_path)
    assert later.finished == 1
    assert later.pictures == load.pictures - 3 * len(trainings[0].split.train)


def test_what_a_larger_step_takes_follows_from_smaller_ones():
    assert _of_step({2: 3.0}, 20) == 30  # all that is known
    assert _of_step({2: 3.0, 8: 6.0}, 20) == 12  # 2 for the step, half a second for each picture
    assert _of_step({2: 3.0, 8: 2.9}, 20) == pytest.approx(2.9)
    assert _of_step({2: 3.0, 20: 11.0}, 20) == 11


def test_speed_is_measured_for_each_network():
    pairs = [("vgg_tiny_bn", Recipe(batch_size=16)),
             ("affwildnet_resnet10", Recipe(batch_size=2, sequence=4, loss="ccc"))]  # fmt: skip
    measured = measured_speed(pairs, 32, How(1), 0.5)
    assert len(measured) == 2 and all(0 < seconds < 60 for seconds in measured)
    assert "unknown model" in measured_speed([("nothing", Recipe())], 32, How(1), 0.1)


def test_a_part_of_a_corpus_is_spread_over_its_subjects(tiny_root, monkeypatch):
    corpus = load_afew_va(tiny_root)
    part = data.take_part(corpus, 12, 2)
    clips = part.frames.groupby("subject")["clip"].nunique()
    assert len(clips) == 10 and clips.max() == 2 and clips.sum() == 12
    assert part.frames.groupby("clip").size().max() == 2
    assert part.label == "AFEW-VA, 12 clips (simulated)"
    assert part.fingerprint() == data.take_part(corpus, 12, 2).fingerprint() != corpus.fingerprint()
    row = part.frames.iloc[5]
    same = (corpus.frames["clip"] == row["clip"]) & (corpus.frames["frame"] == row["frame"])
    assert (part.landmarks[5] == corpus.landmarks[same.to_numpy()][0]).all()
    monkeypatch.setenv("VAAFFECT_AFEW_VA", str(tiny_root))
    named = data.wild_corpus("real, 12 clips of 2 frames", {})
    assert named.frames.equals(part.frames)
    assert len(data.take_part(corpus, 1000, 1000).frames) == len(corpus.frames)
    for wrong in ("real, 0 clips of 2 frames", "real 3", "real, 3 clips"):
        with pytest.raises(UserError, match="DATA"):
            data.wild_corpus(wrong, {})


def test_what_nobody_knows_is_a_guess():
    names = {"00": "00_a", "03": "03_b"}
    of_profile = {"data": 5, "trainings": 3600, "00": 10}
    seconds, guessed = expected_seconds(names, {}, of_profile, changed=False)
    assert seconds["trainings"] == 3600 and guessed == ["03_b"]
    seconds, guessed = expected_seconds(names, {"00": 8}, of_profile, changed=True)
    assert seconds["00_a"] == 8 and guessed == ["data", "trainings", "03_b"]
    seconds, guessed = expected_seconds(names, {}, of_profile, changed=True, trainings=40.0)
    assert seconds["trainings"] == 40 and "trainings" not in guessed


@pytest.mark.parametrize("target", ["study", "check-study"])
def test_make_passes_changed_values_on(target):
    given = ["PROFILE=thesis", "SET='MODELS=[resnet18, vgg11_bn]' SIZE=64", "OUT=reports/a b"]
    done = subprocess.run(
        ["make", "--dry-run", target, *given, "VENV=."], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    line = next(
        line for line in done.stdout.replace("\\\n", " ").splitlines() if "-m vaaffect" in line
    )
    words = subprocess.run(
        ["sh", "-c", line.replace("./python", "printf '%s\\n'")], capture_output=True, text=True
    ).stdout.splitlines()
    assert words[words.index("--set") + 1 :] == [
        "MODELS=[resnet18, vgg11_bn]", "SIZE=64", "--out", "reports/a b",
    ]  # fmt: skip


def test_check_wants_a_folder_or_a_study(capsys):
    assert main(["check"]) == 1
    assert "name a folder, or a study with --study" in capsys.readouterr().err
