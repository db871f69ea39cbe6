"""`bench recipes`: the same search for every network, on worlds that no result is about."""

import numpy as np
import pandas as pd

from benchmarks.calibration import parameters_of
from benchmarks.recipes import FOLDS, PASSES, RATES, _chosen, searched
from vaaffect.base import REPORTS, runs_folder
from vaaffect.training import Plan

SMALL = ["WILD.clips=40", "WILD.subjects=20", "WILD.frames=[2, 2]", "WILD.size=[180, 144]",
         "LAB.sessions=16", "LAB.subjects=8", "LAB.seconds=[3, 4]", "SIZE=32", "FOLDS=3",
         "PRETEXT.clips=20", "PRETEXT.subjects=20", "PRETEXT_EPOCHS=1"]  # fmt: skip


def test_every_network_gets_the_same_search_on_the_development_worlds():
    parameters = parameters_of("demo", SMALL)
    assert parameters["DEVELOPMENT_SEED"] not in (
        parameters["WILD"]["seed"], parameters["LAB"]["seed"],
    )  # fmt: skip
    table = searched(parameters, rates=(0.001, 0.01), passes=(1,))
    tried = table.groupby("model")[["lr", "epochs"]].apply(lambda t: t.to_numpy().tolist())
    assert list(tried.index) == sorted(parameters["MODELS"])
    assert all(settings == [[0.001, 1], [0.01, 1]] for settings in tried)
    assert table.groupby("model")["chosen"].sum().eq(1).all()
    assert np.isfinite(table[["error", "wild", "lab"]].to_numpy()).all()
    assert np.allclose(table["error"], (table["wild"] + table["lab"]) / 2)
    runs = [run for run in runs_folder("recipes").glob("*lr 0.01, 1 epochs*")]
    assert len(runs) >= 2 * 2 * FOLDS


def test_the_fewest_epochs_that_are_as_good_as_any_are_chosen():
    rows = [("a", 0.001, 12, 0.50), ("a", 0.001, 25, 0.495), ("a", 0.01, 12, 0.6),
            ("b", 0.001, 12, 0.50), ("b", 0.001, 25, 0.40), ("b", 0.01, 25, 0.39)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["model", "lr", "epochs", "error"])
    assert [*_chosen(table)] == [0, 5]


def test_the_demos_recipes_are_those_that_the_search_chose():
    table = pd.read_csv(REPORTS / "recipes" / "recipes.csv")
    plan = Plan.from_parameters(parameters_of("demo", []))
    assert len(table) == len(plan.models) * len(RATES) * len(PASSES)
    for row in table[table["chosen"]].to_dict("records"):
        recipe = plan.recipe_of(row["model"])
        assert (recipe.lr, recipe.epochs) == (row["lr"], row["epochs"])
    assert set(table.loc[table["chosen"], "model"]) == set(plan.models)
