"""`python -m vaaffect bench coverage`: do intervals hold for methods, over new corpora?

Many simulated corpora of one kind are planned (not drawn), and two fast methods are trained and
tested on each of them as a study does it: a line on landmarks, and small random forests with
several seeds. The truth is the mean over the corpora. Counted is how many of the intervals at 95 %
hold it.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor

from vaaffect.base import write_atomically
from vaaffect.classical import fit_baselines
from vaaffect.classical.features import geometry
from vaaffect.corpora import Crops, Split, data, subject_folds
from vaaffect.report.tables import to_markdown
from vaaffect.results import Bootstrap, differences, evaluate, mean_difference, prediction_table
from vaaffect.simulator import LabWorld

from .calibration import FOUND, parameters_of, planned

RIDGE, FOREST = "geometry-ridge", "small forest"
BOTH = ({"model": FOREST}, {"model": RIDGE})
NAMES = ("PCC", "CCC", "RMSE")
SEEDS = (0, 1, 2)
FIRST = 20_000  # seed of the first world; no study has seen them
WILD = {"subjects": 200, "clips": 400}  # of the calibrated world
EVERY = 6  # so-manieth frame of the laboratory's videos
SAMPLING = Bootstrap(200)


def bench_coverage(quick: bool = False, out: Path | None = None) -> Iterable[str]:
    """Measure 60 worlds of each kind, or 3 if `quick`; write coverage.csv and .md into `out`."""
    worlds = 3 if quick else 60
    table = coverage(worlds)
    yield from to_markdown(table).splitlines()
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / "coverage.csv", table.to_csv(index=False))
        caption = (
            f"How many of the 95 % intervals hold the truth for a method over {worlds} new corpora "
            "of one kind (simulated, landmarks alone, five folds by subject, forests with "
            f"{len(SEEDS)} seeds). The truth is the mean over the corpora. above: how many are too "
            "high. sd: of the value, between corpora."
        )
        text = f"# Coverage\n\n{caption}\n\n{to_markdown(table)}\n"
        write_atomically(out / "coverage.md", text)


def coverage(worlds: int) -> pd.DataFrame:
    """corpus, what (model or difference), metric, dimension, value, sd, width, held, above."""
    rows = [
        found.assign(corpus=kind)
        for number in range(worlds)
        for kind in ("wild, 200 subjects", "laboratory, 16 subjects")
        for found in [intervals(predictions(kind, FIRST + number))]
    ]
    table = pd.concat(rows, ignore_index=True)
    keys = ["corpus", "what", "metric", "dimension"]
    truth = table.groupby(keys)["value"].transform("mean")
    table["held"] = (table["low"] <= truth) & (truth <= table["high"])
    table["above"], table["width"] = table["low"] > truth, table["high"] - table["low"]
    of = table.groupby(keys, sort=False)
    means = of[["value", "width", "held", "above"]].mean()
    return means.join(of["value"].std().rename("sd")).assign(corpora=worlds).reset_index()


def predictions(kind: str, seed: int) -> pd.DataFrame:
    """What both methods predict in one new corpus."""
    from planted import lab  # beside the tests, as this is

    parameters = parameters_of(None, ())
    if kind.startswith("wild"):
        crops = planned(data.world_of("wild", parameters["WILD"] | WILD | {"seed": seed}))[FOUND]
    else:
        crops = lab(LabWorld(**parameters["LAB"] | {"seed": seed}), every=EVERY)
    splits = subject_folds(crops.frames, parameters["FOLDS"], seed=parameters["FOLD_SEED"])
    forests = [_forest(crops, splits, seed) for seed in SEEDS]
    return pd.concat([fit_baselines(crops, splits, [RIDGE]), *forests], ignore_index=True)


def _forest(crops: Crops, splits: list[Split], seed: int) -> pd.DataFrame:
    """Of few trees, so that seeds matter as they do to networks."""
    x, va = geometry(crops.landmarks), crops.va.astype(np.float64)
    tables = []
    for split in splits:
        state = 1000 * split.fold + seed
        forest = RandomForestRegressor(
            10, min_samples_leaf=5, max_features=0.2, random_state=state
        ).fit(x[split.train], va[split.train])
        names = {"model": FOREST, "recipe": "10 trees", "train_corpus": crops.label}
        predicted = forest.predict(x[split.test])
        tables.append(
            prediction_table(predicted, crops, split.test, fold=split.fold, seed=seed, **names)
        )
    return pd.concat(tables)


def intervals(table: pd.DataFrame) -> pd.DataFrame:
    """what, metric, dimension, value, low, high."""
    columns = ["what", "metric", "dimension", "value", "low", "high"]
    models = evaluate(table, 1, names=NAMES, bootstrap=SAMPLING).query("fold == 'mean'")
    compared = differences(table, RIDGE, metrics=NAMES, bootstrap=SAMPLING)
    compared = compared.drop(columns="value").rename(columns={"difference": "value"})
    both = [mean_difference(table, [BOTH], metric=name, bootstrap=SAMPLING) for name in NAMES]
    parts = [
        models.assign(what=models["model"]),
        compared.assign(what="difference"),
        pd.DataFrame(both).assign(what="difference"),
    ]
    return pd.concat([part[columns] for part in parts], ignore_index=True)
