"""Do the intervals hold what they promise? Subjects and networks whose true values are known.

Simulated subjects have clips, clips have frames; each level moves the labels and the errors. Gain
and offset of every network are drawn anew each time: a part that all folds have in common (their
training subjects are mostly the same), one of the fold, one of fold and seed. Two models are
compared, whose errors have most in common.
`python tests/coverage_study.py` from the repository's root prints how many of the intervals at 95 %
hold the truth in the layouts that studies use, for the method in use, for its predecessor, and for
the self-deception of resampling frames (about half an hour; an argument sets the repetitions).
`test_evaluation.py` repeats a small part of it.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from unittest import mock

import numpy as np
import pandas as pd

from vaaffect.corpora.corpus import DIMENSIONS
from vaaffect.results import Bootstrap, metrics
from vaaffect.results.bootstrap import Spread
from vaaffect.results.comparisons import differences
from vaaffect.results.evaluation import evaluate
from vaaffect.results.predictions import PREDICTION_COLUMNS

NAMES = ("RMSE", "PCC", "CCC")
FOLDS = 5
GAIN, OFFSET = 0.6, 0.02  # of a network, on average
# Their standard deviation by training subjects, of which 1 / FOLDS of the variance is common to all
# folds, as Nadeau & Bengio estimate; and by seeds, where there are several.
TRAINING, SEEDS = 0.06, 0.06
# Standard deviations between subjects, between a subject's clips, between a clip's frames.
LABELS, ERRORS = (0.15, 0.25, 0.08), (0.12, 0.12, 0.08)
COMMON = 0.8  # of the errors of two networks: their correlation is its square
EVEN, UNEVEN = (2, 3), (1, 1, 1, 2, 2, 3, 4, 6)  # clips of a subject, drawn from these
SESSIONS = (1, 2, 2, 2, 3)  # of a subject in the laboratory


@dataclass(frozen=True)
class Layout:
    """What a study has."""

    name: str
    people: int
    clips: tuple[int, ...]
    seeds: int = 1
    errors: tuple[float, float, float] = ERRORS

    def simulated(self, rng: np.random.Generator) -> pd.DataFrame:
        """Predictions of two models for newly drawn subjects; dimensions are independent."""
        owner = np.repeat(np.arange(self.people), rng.choice(self.clips, self.people))
        clip = np.repeat(np.arange(len(owner)), rng.integers(3, 8, len(owner)))
        person = owner[clip]
        fold = person % FOLDS

        def levels(sizes: tuple[float, float, float]) -> np.ndarray:
            parts = ((self.people, person), (len(owner), clip), (len(clip), slice(None)))
            return sum(rng.normal(0, sd, n)[of] for sd, (n, of) in zip(sizes, parts, strict=True))

        table = pd.DataFrame({"fold": fold, "subject": person, "clip": clip})
        table["frame"] = np.arange(len(clip))
        for dimension in DIMENSIONS:
            table[f"{dimension}_true"] = levels(LABELS)
        common = {dimension: COMMON * levels(self.errors) for dimension in DIMENSIONS}
        tables = []
        own = TRAINING * np.sqrt(1 - 1 / FOLDS)
        for model, bold in (("m", 1.0), ("n", 0.9)):
            moved = rng.normal(0, TRAINING / np.sqrt(FOLDS), 2) + rng.normal(0, own, (FOLDS, 2))
            for seed in range(self.seeds):
                network = moved + rng.normal(0, SEEDS * (self.seeds > 1), (FOLDS, 2))
                gain, offset = (np.array([GAIN * bold, OFFSET]) + network).T
                one = table.assign(model=model, seed=seed)
                for dimension in DIMENSIONS:
                    error = common[dimension] + np.sqrt(1 - COMMON**2) * levels(self.errors)
                    true = table[f"{dimension}_true"]
                    one[f"{dimension}_pred"] = gain[fold] * true + offset[fold] + error
                tables.append(one)
        same = {"recipe": "r", "train_corpus": "A", "test_corpus": "A", "split": "subject"}
        return pd.concat(tables, ignore_index=True).assign(**same)[PREDICTION_COLUMNS]

    def truth(self, repetitions: int, seed: int) -> pd.Series:
        """What each number is on average over new subjects and networks; index (metric, of)."""
        rng = np.random.default_rng([seed, 1])
        values = [_values(self.simulated(rng)) for _ in range(repetitions)]
        return pd.concat(values).groupby(["metric", "of"])["value"].mean()


LAYOUTS = (
    Layout("wild, 200 subjects", 200, EVEN),
    Layout("wild, 240 subjects, uneven clips", 240, UNEVEN),
    Layout("wild, 200 subjects, 3 seeds", 200, EVEN, 3),
    Layout("laboratory, 16 subjects", 16, SESSIONS),
    Layout("laboratory, 16 subjects, 3 seeds", 16, SESSIONS, 3),
    Layout("laboratory, 16 subjects who differ", 16, SESSIONS, 1, (0.25, 0.08, 0.08)),
)
DIFFERENCE = "difference"


def _values(table: pd.DataFrame) -> pd.DataFrame:
    """metric, of, value: of model m, mean over folds and seeds, and the difference from n."""
    rows = []
    for (_, model), d in table.groupby(["seed", "model"]):
        for name in NAMES:
            metric = getattr(metrics, name.lower())
            for x in DIMENSIONS:
                folds = [metric(f[f"{x}_true"], f[f"{x}_pred"]) for _, f in d.groupby("fold")]
                rows.append((model, name, np.mean(folds)))
    found = pd.DataFrame(rows, columns=["model", "metric", "mean"])
    found = found.groupby(["model", "metric"]).mean()
    table = found.loc["m"].assign(**{DIFFERENCE: found.loc["m", "mean"] - found.loc["n", "mean"]})
    return table.stack().rename_axis(["metric", "of"]).rename("value").reset_index()


def _shown(results: pd.DataFrame, compared: pd.DataFrame) -> pd.DataFrame:
    means = results[(results["fold"] == "mean") & (results["model"] == "m")].assign(of="mean")
    return pd.concat([means, compared.assign(of=DIFFERENCE)])[["metric", "of", "low", "high"]]


def in_use(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The intervals of `evaluate` and `differences`."""
    bootstrap = Bootstrap(200, seed)
    compared = differences(table, "n", metrics=NAMES, bootstrap=bootstrap)
    return _shown(evaluate(table, 1, names=NAMES, bootstrap=bootstrap), compared)


def subjects_alone(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The predecessor: each seed's interval, averaged over the seeds, over test subjects alone."""
    with mock.patch.object(Spread, "of_training", lambda values: Spread(0.0, 1)):
        rows = pd.concat([in_use(one.assign(seed=0), seed) for _, one in table.groupby("seed")])
    keys = [rows["metric"], rows["of"], rows.index]  # the index tells the dimensions apart
    return rows.groupby(keys, sort=False)[["low", "high"]].mean().reset_index(["metric", "of"])


def frames_resampled(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The method in use, told that every frame is a subject and a clip of its own."""
    alone = table["frame"].astype(str)
    return in_use(table.assign(subject=alone, clip=alone), seed)


def coverage(
    method: Callable[[pd.DataFrame, int], pd.DataFrame],
    layout: Layout,
    repetitions: int,
    truth: pd.Series,
    seed: int = 0,
) -> pd.DataFrame:
    """How often intervals hold the truth.

    Returns:
        Index (metric, of): held, above (fraction of intervals wholly above the truth), below, width
        (mean), count. Both dimensions count; undefined intervals are left out.
    """
    rng = np.random.default_rng([seed, 2])
    parts = [method(layout.simulated(rng), seed + i) for i in range(repetitions)]
    rows = pd.concat(parts).dropna(subset=["low", "high"])
    true = truth.loc[pd.MultiIndex.from_frame(rows[["metric", "of"]])].to_numpy()
    held = {
        "held": (rows["low"] <= true) & (true <= rows["high"]),
        "above": rows["low"] > true,
        "below": rows["high"] < true,
        "width": rows["high"] - rows["low"],
    }
    table = rows[["metric", "of"]].assign(**held).groupby(["metric", "of"])
    return table.mean().assign(count=table.size())


def main(repetitions: int) -> None:
    """Print the table that `bootstrap.py` speaks of."""
    for number, layout in enumerate(LAYOUTS):
        truth = layout.truth(4 * repetitions, seed=number)
        methods = [in_use, subjects_alone]
        if number == 0:
            methods.append(frames_resampled)
        for method in methods:
            print(f"-- {layout.name}: {method.__name__}")
            found = coverage(method, layout, repetitions, truth, seed=number)
            print(found.round(3).to_string(), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
