"""A small made-up study, written through the functions that the notebooks write with."""

import json
import shutil
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from made_up import elsewhere, predictions

from vaaffect.classical import CONSTANT
from vaaffect.corpora import DIMENSIONS
from vaaffect.report import literature, tables
from vaaffect.report.record import Record, read_record
from vaaffect.results import (
    Bootstrap,
    claims,
    error_analysis,
    evaluation,
    in_within_corpus_folds,
    paired_difference,
    subgroups,
)

WILD, LAB = "AFEW-VA (simulated)", "SEMAINE (simulated)"
NETWORKS = {"vgg11_bn": "VGG11-bn", "resnet18": "ResNet18"}
DRAW = Bootstrap(20)
PARAMETERS = {
    "FOLDS": 4, "SIZE": 36, "WEIGHT_SEEDS": [0], "RESAMPLES": 20, "EPOCHS": 8,
    "MODELS": list(NETWORKS),
    "BASELINES": ["geometry-ridge", "affwildnet_resnet10"],
    "RECIPE": {"name": "made up", "weights": "pretext", "lr": 0.001},
    "PER_MODEL": {"vgg11_bn": {"epochs": 4}, "affwildnet_resnet10": {"sequence": 4}},
    "WILD": {"clips": 60, "subjects": 20}, "LAB": {"sessions": 30, "subjects": 10},
}  # fmt: skip
MANIFEST = {
    "profile": "made-up", "title": "a made-up study", "started": "2025-01-02T03:04:05Z",
    "commit": "0123456789abcdef", "dirty": False, "python": "3.11.7", "platform": "Linux x86_64",
    "device": {"cpu": "A processor", "threads": 2}, "seconds": {"04": 61.0, "99": 4.0},
    "packages": {"torch": "2.11.0", "numpy": "2.4.6"}, "data": {WILD: "12ab", LAB: "34cd"},
    "notebooks": {"04": {"parameters": PARAMETERS}, "07": {"parameters": {"ABLATION_EPOCHS": 6}}},
}  # fmt: skip


def by_everybody(train: str, test: str) -> pd.DataFrame:
    """Predictions of two networks, one of them from scratch too, and of the constant baseline."""
    table = predictions() if train == test else elsewhere()
    table = table.assign(train_corpus=train, test_corpus=test, recipe="made up")
    columns = [f"{dimension}_pred" for dimension in DIMENSIONS]
    dark = table["subject"].isin(dark_subjects())
    worse = table[columns].add(0.3 * dark, axis=0).clip(-1, 1)
    parts = [
        table.assign(model=CONSTANT, recipe="training mean", valence_pred=0.1, arousal_pred=0.2),
        table.assign(model="vgg11_bn", **worse),
        table.assign(model="resnet18"),
    ]
    if train == test == WILD:
        weak = table.assign(model="resnet18", recipe="made up from scratch")
        parts.append(weak.assign(**(0.3 * table[columns])))
    return pd.concat(parts, ignore_index=True)


def dark_subjects() -> list[str]:
    return [f"s{number}" for number in range(0, 20, 2)]


def write_report(folder: Path) -> None:
    """Every table that the report reads."""

    def save(name: str, table: pd.DataFrame, caption: str = "A caption.") -> None:
        tables.save_table(table, str(folder), name, caption)

    wild = by_everybody(WILD, WILD)
    results = evaluation.evaluate(wild, 10, bootstrap=DRAW)
    summary = evaluation.fold_summary(results)
    save("04_results", results)
    save("04_headline", tables.headline(summary), "Mean over 4 folds.")

    rmse = summary[(summary["metric"] == "RMSE") & (summary["scale"] == "[-1, 1]")]
    rmse = rmse[rmse["recipe"] != "made up from scratch"]
    rmse = rmse.set_index(["model", "dimension"])["mean"]
    saved = [
        {"model": NETWORKS[model], "dimension": dimension, "data": WILD,
         "error saved, mean (%)": 100 * (1 - rmse[model, dimension] / rmse[CONSTANT, dimension])}
        for model, dimension in product(NETWORKS, DIMENSIONS)
    ]  # fmt: skip
    save("04_against_constant", pd.DataFrame(saved))
    leak = {
        "model": ["landmarks, ridge", "HOG, SVR"],
        "dimension": list(DIMENSIONS),
        "price of the clip leak": [0.004, 0.021],
        "price of the frame leak": [0.014, 0.277],
    }
    for kind, half in (("clip", 0.03), ("frame", 0.02)):
        leak[f"low of the {kind} leak"] = [x - half for x in leak[f"price of the {kind} leak"]]
        leak[f"high of the {kind} leak"] = [x + half for x in leak[f"price of the {kind} leak"]]
    save("04_leak", pd.DataFrame(leak))

    compared = wild[wild["recipe"] != "made up from scratch"]
    density = error_analysis.by_density(compared)
    save("04_density", density.assign(model=density["model"].map(tables.model_name)))
    groups = wild[["clip", "frame", "subject"]].drop_duplicates()
    skin = groups["subject"].isin(dark_subjects()).map({True: "dark", False: "light"})
    groups = groups.assign(skin=skin)[["clip", "frame", "skin"]]
    by_group = subgroups.by_group(compared, groups, bootstrap=DRAW)
    save("04_group_results", by_group)
    save("04_groups", tables.group_table(by_group), "Groups of subjects.")
    gaps = subgroups.between_groups(compared, groups, bootstrap=DRAW)
    save("04_group_gaps", gaps.assign(model=gaps["model"].map(tables.model_name), data=WILD))

    everything = pd.concat([by_everybody(*pair) for pair in product((WILD, LAB), repeat=2)])
    comparable = in_within_corpus_folds(everything)
    results = pd.concat(
        evaluation.evaluate(comparable[comparable["test_corpus"] == corpus], scale, bootstrap=DRAW)
        for corpus, scale in ((WILD, 10), (LAB, 1))
    )
    save("05_results", results)
    summary = evaluation.fold_summary(results)
    for number in literature.TITLES:
        table = literature.measured_and_published(number, summary, WILD, LAB)
        save(f"05_thesis_{number}", table, f"Table {number} of the thesis.")
    finetuned = everything[everything["recipe"] != "made up from scratch"]
    lost = []
    for (home, away), model, dimension in product(((WILD, LAB), (LAB, WILD)), NETWORKS, DIMENSIONS):
        difference = paired_difference(
            finetuned,
            {"model": model, "train_corpus": home, "test_corpus": away},
            {"model": model, "train_corpus": away, "test_corpus": away},
            dimension=dimension,
            bootstrap=DRAW,
        )
        lost.append({"model": NETWORKS[model], "trained on": home, "tested on": away,
                     "dimension": dimension, "difference": difference.value,
                     "low": difference.low, "high": difference.high,
                     "decided": difference.decided})  # fmt: skip
    save("05_lost", pd.DataFrame(lost))
    comparison = "CCC of resnet18 - CCC of vgg11_bn, same folds"
    shown = "Not supported for the method on films. CCC of resnet18 - CCC of vgg11_bn: −0.10."
    verdicts = [
        claims.Claim("H4", "ResNet beats VGG in the wild", "expected", comparison, -0.1, -0.2,
                     -0.01, claims.NOT_SUPPORTED, "method", 3, shown, 0.15, WILD),
        claims.Claim("H5", "Transfer beats training from scratch", "expected", comparison, 0.2,
                     0.1, 0.3, claims.SUPPORTED, "these trained networks", 1, "Supported.", 0.1,
                     WILD),
    ]  # fmt: skip
    save("05_claims", claims.claims_frame(verdicts))
    save("06_claim", claims.claims_frame([claims.expected_ranges(None)]))

    thesis = wild[wild["model"].isin([CONSTANT, "vgg11_bn"])]
    thesis = thesis.assign(recipe=thesis["recipe"].replace("made up", "thesis"))
    save("07_results", evaluation.evaluate(thesis, 10, names=["CCC", "RMSE"], bootstrap=DRAW))

    corpora = {"data": [WILD, LAB], "frames": [300, 300], "clips": [60, 30], "subjects": [20, 10],
               "left out": ["nothing", "1 session"], "notes": [0, 2]}  # fmt: skip
    save("01_corpora", pd.DataFrame(corpora))
    save(
        "01_problems",
        pd.DataFrame({"data": [LAB], "lost": ["session"], "reason": ["no value"], "count": [1]}),
    )
    means = {"data": [WILD], "dimension": ["valence"], "mean label": [-0.09],
             "RMSE of always answering the mean": [0.28]}  # fmt: skip
    save("01_constant_predictor", pd.DataFrame(means))
    raters = {"dimension": list(DIMENSIONS), "PCC": [0.92, 0.93], "alpha": [0.75, 0.71]}
    save("01_raters", pd.DataFrame(raters))
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))


@pytest.fixture(scope="session")
def report_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_report(folder)
    return folder


@pytest.fixture
def record(report_folder, tmp_path) -> Record:
    """A copy of the made-up study's report, to be changed."""
    shutil.copytree(report_folder, tmp_path / "report")
    return read_record(str(tmp_path / "report"))
