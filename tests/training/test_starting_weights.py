"""Weights from a file: what is taken, what is refused, and by what a training is known."""

import dataclasses
import json
import pickle
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn
from torchvision import models as zoo

from vaaffect.__main__ import main
from vaaffect.base import ROOT, UserError, sha256_of
from vaaffect.corpora.folds import subject_folds
from vaaffect.results import FROM_SCRATCH
from vaaffect.training import loop
from vaaffect.training.checks import check_parameters
from vaaffect.training.loop import train
from vaaffect.training.many import How, train_all
from vaaffect.training.networks import build_model
from vaaffect.training.order import all_trainings
from vaaffect.training.plan import Ablation, Plan, weights_files
from vaaffect.training.recipe import Recipe
from vaaffect.training.run_folder import load_model, read_config
from vaaffect.training.spec import Training
from vaaffect.training.starting_weights import WeightsFile, fitting, read_state, start_from

HEAD = {"fc.weight", "fc.bias"}
PARAMETERS = {
    "PROFILE": "p",
    "SIZE": 32,
    "MODELS": ["vgg_tiny_bn", "resnet18"],
    "FOLDS": 3,
    "RECIPE": {"name": "r", "batch_size": 4},
    "SCRATCH": "all",
    "BASELINES": ["geometry-ridge", "affwildnet_resnet18"],
    "ABLATION_MODEL": "resnet18",
    "ABLATION_FOLDS": 2,
    "ABLATION_EPOCHS": 2,
    "THESIS": {"name": "thesis", "batch_size": 4},
    "COMPONENTS": {"scale": {"normalisation": "imagenet"}, "another seed": {"seeds": 2}},
}


def theirs() -> dict[str, torch.Tensor]:
    """The state dict of torchvision's ResNet18 with its 1000 classes, as random as it comes."""
    torch.manual_seed(11)
    network = zoo.resnet18()
    for module in network.modules():  # statistics that are not those of a new layer
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return network.state_dict()


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return theirs()


@pytest.fixture(scope="module")
def path(state, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights é") / "faces of mine.pt"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def split(tiny_crops):
    return subject_folds(tiny_crops.frames, folds=2, val_share=0.34)[0]


@pytest.fixture(scope="module")
def work(tiny_crops, split, path) -> Training:
    recipe = Recipe("mine", epochs=1, batch_size=8, lr=0.0, weights=str(path))
    return Training("resnet18", recipe, tiny_crops, split, start=WeightsFile.at(path))


@pytest.fixture(scope="module")
def finished(work, tmp_path_factory) -> Path:
    return train(dataclasses.replace(work, keep_model=True), tmp_path_factory.mktemp("runs"))


def new() -> nn.Module:
    torch.manual_seed(3)
    return build_model("resnet18", image_size=32)


def parameters(path: Path | str, **values) -> dict:
    own = {"weights": str(path)}
    clips = own | {"sequence": 3}
    return PARAMETERS | {"PER_MODEL": {"resnet18": own, "affwildnet_resnet18": clips}} | values


def test_a_training_starts_from_exactly_these_weights_but_for_its_last_layer(work, state, tmp_path):
    begun = loop._start(work, work.starting_weights(), tmp_path / "run", torch.device("cpu"))
    ours = begun.network.state_dict()
    assert ours.keys() == state.keys()
    torch.manual_seed(work.weight_seed)
    fresh = build_model("resnet18", image_size=32).state_dict()
    for key, value in ours.items():
        assert torch.equal(value, fresh[key] if key in HEAD else state[key]), key
    assert ours["fc.weight"].shape == (2, 512)


def test_a_run_says_what_it_started_from_and_can_be_loaded_without_it(finished, state, path):
    network = load_model(finished)  # its learning rate was 0
    for key, value in network.named_parameters():
        assert key in HEAD or torch.equal(value, state[key]), key
    config = read_config(finished)
    assert config["start"] == sha256_of(path) and config["start_file"] == "faces of mine.pt"
    assert config["recipe"]["weights"] == "file"
    assert str(path.parents[1]) not in (finished / "config.json").read_text()


def test_a_run_is_found_wherever_the_same_file_lies(work, finished, path, tmp_path, monkeypatch):
    moved = tmp_path / "of another machine" / "renamed.pth"
    moved.parent.mkdir()
    shutil.copy(path, moved)
    elsewhere = dataclasses.replace(
        work, recipe=dataclasses.replace(work.recipe, weights=str(moved)),
        start=WeightsFile.at(moved), keep_model=True,
    )  # fmt: skip
    assert elsewhere.name == work.name
    monkeypatch.setattr(loop, "_fit", None)  # nothing is trained
    assert train(elsewhere, finished.parent) == finished


def test_another_content_at_the_same_path_is_another_training(work, state, path, tmp_path):
    copy = tmp_path / "weights.pt"
    shutil.copy(path, copy)
    recipe = dataclasses.replace(work.recipe, weights=str(copy))
    before = dataclasses.replace(work, recipe=recipe, start=WeightsFile.at(copy))
    torch.save(state | {"conv1.weight": state["conv1.weight"] + 1}, copy)
    after = dataclasses.replace(before, start=WeightsFile.at(copy))
    assert before.name == work.name != after.name
    # A training that was planned with the former file is not trained from this one.
    with pytest.raises(UserError, match=r"weights\.pt: was changed meanwhile"):
        train(before, tmp_path / "runs")
    assert not list((tmp_path / "runs").rglob("config.json"))


def test_other_identities_are_what_they_were(work):
    """A recipe without a file is in the identity as it is, and so are trainings of old."""
    recipe = Recipe("mine", epochs=1, batch_size=8)
    plain = dataclasses.replace(work, recipe=recipe, start=None)
    identity = plain.identity()
    assert identity["recipe"] == dataclasses.asdict(recipe) and identity["start"] is None
    assert set(identity) == {
        "model", "recipe", "data", "crops", "image_size", "fold", "by", "split", "other_corpora",
        "start", "seed", "code",
    }  # fmt: skip
    assert plain.config() == identity


def test_what_was_given_must_be_what_the_recipe_says(work, tmp_path):
    for training in (
        dataclasses.replace(work, start=None),
        dataclasses.replace(work, recipe=dataclasses.replace(work.recipe, weights="none")),
        dataclasses.replace(work, recipe=dataclasses.replace(work.recipe, weights="pretext")),
    ):
        with pytest.raises(UserError, match="give `start`"):
            train(training, tmp_path)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3, "best": 0.5},
        lambda state: {"model": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {"model_state_dict": dict(state), "optimizer": {"lr": [0.1]}},
        lambda state: {f"module.{key}": value for key, value in state.items()},
        lambda state: {key: value for key, value in state.items() if key not in HEAD},
        # Before there were counters of batches.
        lambda state: {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")},
        lambda state: {key: nn.Parameter(value) if value.is_floating_point() else value
                       for key, value in state.items()},
    ],
    ids=["state_dict", "model, module.", "model_state_dict", "module.", "no head", "no counters",
         "parameters"],
)  # fmt: skip
def test_files_are_taken_as_people_have_them(state, tmp_path, wrap):
    torch.save(wrap(state), tmp_path / "weights.pt")
    network, fresh = new(), new().state_dict()
    start_from(network, tmp_path / "weights.pt", "resnet18")
    for key, value in network.state_dict().items():
        kept = key in HEAD or key.endswith("num_batches_tracked")
        assert torch.equal(value, fresh[key] if kept else state[key]), key


def test_files_of_old_versions_of_pytorch_are_read(state, tmp_path):
    old = tmp_path / "old.pth"
    torch.save(state, old, _use_new_zipfile_serialization=False)
    read = read_state(old)
    assert all(torch.equal(read[key], value) for key, value in state.items())
    old.write_bytes(old.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"old\.pth: cannot be read as a state dict"):
        read_state(old)


@pytest.mark.parametrize(
    ("name", "size"),
    [("googlenet", 32), ("squeezenet1_1", 32), ("mnasnet0_5", 32), ("shufflenet_v2_x0_5", 32),
     ("mobilenet_v3_small", 32)],
)  # fmt: skip
def test_a_file_of_torchvision_fits_where_the_last_layer_or_side_outputs_differ(
    tmp_path, name, size
):
    options = {"init_weights": True} if name == "googlenet" else {}
    state = zoo.get_model(name, weights=None, **options).state_dict()
    torch.save(state, tmp_path / "weights.pt")
    network = build_model(name, image_size=size)
    start_from(network, tmp_path / "weights.pt", name)
    ours = network.state_dict()
    same = [key for key in ours if key in state and torch.equal(ours[key], state[key])]
    assert len(set(ours) - set(same)) == 2  # the last layer's weight and bias


@pytest.mark.parametrize("name", ["affwildnet_resnet18", "affwildnet_lstm_resnet18"])
def test_a_network_of_clips_takes_what_looks_at_each_picture(state, path, name):
    network = build_model(name, image_size=32)
    start_from(network, path, name)
    ours = network.state_dict()
    taken = [key for key in state if key not in HEAD]
    assert all(torch.equal(ours[f"backbone.{key}"], state[key]) for key in taken)
    assert {key for key in ours if key.startswith("backbone.")} == {f"backbone.{k}" for k in taken}
    with pytest.raises(UserError, match="weights of another network than affwildnet_resnet34"):
        start_from(build_model("affwildnet_resnet34", image_size=32), path, "affwildnet_resnet34")


def without(state: dict, *keys: str) -> dict:
    return {key: value for key, value in state.items() if key not in keys}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: without(s, "conv1.weight"),
         r"weights of another network than resnet18 \(missing: conv1\.weight\); take a "),
        (lambda s: s | {"fc2.bias": s["fc.bias"]}, r"\(superfluous: fc2\.bias\); take"),
        (lambda s: {f"net.{key}": value for key, value in s.items()},
         r"\(missing: conv1\.weight, bn1\.weight, bn1\.bias and 97 more; superfluous: "
         r"net\.conv1\.weight, net\.bn1\.weight, net\.bn1\.bias and 119 more\)"),
        (lambda s: s | {"conv1.weight": torch.zeros(64, 1, 7, 7)},
         r"conv1\.weight has 64 x 1 x 7 x 7 numbers there and 64 x 3 x 7 x 7 in resnet18; set "),
        (lambda s: s | {"bn1.bias": torch.zeros(32), "bn1.weight": torch.zeros(32)},
         r"has 32 numbers there and 64 in resnet18 \(and 1 more have other shapes\)"),
        (lambda s: s | {"bn1.bias": torch.full((64,), float("nan"))},
         r"holds values that are no numbers, in bn1\.bias"),
        (lambda s: s | {"epoch": 3}, "is no state dict, 'epoch' in it is no tensor but int; write"),
        (lambda s: list(s.values()), "is no state dict, it holds list; write it with torch.save"),
        (lambda s: s["conv1.weight"], "is no state dict, it holds Tensor"),
        (lambda s: {}, "is no state dict, it holds nothing"),
        (lambda s: {"state_dict": {}}, "is no state dict, it holds nothing"),
        (lambda s: zoo.resnet18(), r"an object of Python \(torchvision\.models\.resnet\.ResNet\).* "
         r"save the state dict alone: torch\.save\(model\.state_dict\(\), FILE\)"),
        (lambda s: {"state_dict": s, "best": Path("x")}, "holds an object of Python"),
    ],
    ids=["missing", "superfluous", "prefix", "shape", "shapes", "nan", "number", "list", "tensor",
         "empty", "nothing nested", "module", "checkpoint with objects"],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_what_is_wrong(state, tmp_path, change, said):
    path = tmp_path / "weights.pt"
    torch.save(change(state), path)
    with pytest.raises(UserError, match=said) as error:
        fitting(new(), path, "resnet18")
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_what_is_no_file_of_weights_is_refused_in_one_sentence(state, path, tmp_path):
    whole = path.read_bytes()
    network = new()
    files = {
        "half.pt": whole[: len(whole) // 2], "last.pt": whole[:-1], "empty.pt": b"",
        "text.pt": b"weights", "page.pt": b"<!DOCTYPE html><html>Sign in</html>",
        "picture.pt": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "pickle.pt": pickle.dumps({"conv1.weight": [1.0]}),
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"{name}: ") as error:
            fitting(network, tmp_path / name, "resnet18")
        assert "\n" not in str(error.value), name
    torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "script.pt"))
    with pytest.raises(UserError, match=r"script\.pt: cannot be read as a state dict"):
        read_state(tmp_path / "script.pt")
    (tmp_path / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="of safetensors, which are not read here; load it with"):
        read_state(tmp_path / "weights.safetensors")


def test_a_path_that_leads_to_no_file_is_refused(path, tmp_path):
    with pytest.raises(UserError, match=r"vggface: there is no such file of weights; .* none, ima"):
        WeightsFile.at(Recipe(weights="vggface").weights_file)
    with pytest.raises(UserError, match="there is no such file"):
        WeightsFile.at(path / "below a file")
    with pytest.raises(UserError, match="is no file; name the file of a state dict"):
        WeightsFile.at(tmp_path)
    with pytest.raises(UserError, match='weights is None; use one of "none", "imagenet"'):
        Recipe(weights=None)


def test_a_path_begins_at_the_projects_folder_wherever_that_is_asked(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Recipe(weights="data/raw/x.pt").weights_file == ROOT / "data/raw/x.pt"
    assert Recipe(weights="~/x.pt").weights_file == Path.home() / "x.pt"
    assert Recipe(weights=str(path)).weights_file == path
    assert [Recipe(weights=known).weights_file for known in ("none", "imagenet", "pretext")] == [
        None, None, None,
    ]  # fmt: skip
    assert Recipe(weights="data/raw/x.pt").start_in_words == "the weights in x.pt"
    assert Recipe(weights="none").start_in_words == "random weights"


def test_every_training_of_a_study_starts_from_its_file(path, tiny_crops, monkeypatch):
    monkeypatch.setattr(Plan, "wild_crops", tiny_crops)
    lab = dataclasses.replace(tiny_crops, label="lab", key="of the lab")
    monkeypatch.setattr(Plan, "lab_crops", lab)
    values = parameters(path)
    start = WeightsFile.at(path)
    plan = Plan.from_parameters(values)
    assert plan.starts == {
        ("resnet18", "r"): start, ("affwildnet_resnet18", "r"): start,
    }  # fmt: skip
    # Random is what the other network starts from anyway.
    assert [model for model, _ in plan.from_scratch] == ["resnet18"]
    for training in all_trainings(values):
        from_file = training.model != "vgg_tiny_bn" and FROM_SCRATCH not in training.recipe.name
        assert training.start == (start if from_file else None)
        training.check()
    components = Ablation.from_parameters(values).trainings()
    assert {t.recipe.normalisation for t in components} == {"unit", "imagenet"}
    assert all(training.start == start for training in components)
    assert weights_files(values) == {
        "weights that resnet18 starts from (faces of mine.pt)": start.key,
        "weights that affwildnet_resnet18 starts from (faces of mine.pt)": start.key,
    }
    assert weights_files(PARAMETERS | {"BASELINES": []}) == {}


def test_files_are_checked_before_anything_is_drawn_or_trained(path, tmp_path):
    check_parameters(parameters(path))
    with pytest.raises(UserError, match="there is no such file of weights"):
        check_parameters(parameters(tmp_path / "nowhere.pt"))
    everywhere = {"RECIPE": PARAMETERS["RECIPE"] | {"weights": str(path)}}
    with pytest.raises(UserError, match=r"another network than vgg_tiny_bn .*in PER_MODEL"):
        check_parameters(parameters(path, **everywhere))
    # Of the ablation alone.
    alone = {"MODELS": [], "BASELINES": [], "SCRATCH": "none", "ABLATION_MODEL": "resnet34"}
    with pytest.raises(UserError, match="another network than resnet34"):
        check_parameters(parameters(path, **alone, PER_MODEL={}, **everywhere))


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("nowhere/x.pt", "there is no such file of weights"),
        ("half.pt", "cannot be read as a state"),
    ],
)
def test_a_study_ends_with_one_sentence_and_draws_nothing(
    path, tmp_path, capsys, monkeypatch, weights, said
):
    (tmp_path / "half.pt").write_bytes(path.read_bytes()[:5000])
    monkeypatch.setattr("vaaffect.corpora.data.prepare_data", None)
    command = ["study", "--profile", "smoke", "--out", str(tmp_path / "out"), "--set"]
    changes = ["MODELS=[resnet18]", "LEAK_MODELS=[]", f"RECIPE.weights={tmp_path / weights}"]
    assert main([*command, *changes]) == 1
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and said in printed.err and "Traceback" not in printed.err
    assert str(tmp_path / weights) in printed.err and not (tmp_path / "out").exists()


def test_several_processes_start_from_the_file(work, split, tiny_crops, tmp_path):
    other = subject_folds(tiny_crops.frames, folds=2, val_share=0.34)[1]
    trainings = [work, dataclasses.replace(work, split=other)]
    runs = train_all(trainings, tmp_path, How(jobs=2))
    assert [read_config(run)["start"] for run in runs] == [work.start.key] * 2
    assert json.loads((runs[1] / "done.json").read_text())["epochs"] == 1
    assert len(pd.read_parquet(runs[0] / "predictions.parquet")) == len(split.test)


def test_features_for_the_last_layer_alone_are_those_of_the_file(work, tmp_path, monkeypatch):
    """Feature extraction: the network behind the new layer is the file's, untouched."""
    monkeypatch.setattr(loop, "FEATURES", tmp_path / "features")
    recipe = dataclasses.replace(work.recipe, trained="head", lr=0.01)
    head = dataclasses.replace(work, recipe=recipe, keep_model=True)
    network = load_model(train(head, tmp_path / "runs"))
    stored = read_state(work.start.path)
    for key, value in network.state_dict().items():
        assert key in HEAD or torch.equal(value, stored[key]), key
