"""Do the intervals hold what they promise? Subjects whose true values are known.

Simulated subjects have clips, clips have frames; each level moves the labels and the errors. Each
fold has a network of its own (gain and offset). `python tests/coverage_study.py` from the
repository's root prints how many of the intervals at 95 % hold the truth, for the method in use,
its predecessor and the self-deception of resampling frames (about a quarter of an hour; an
argument sets the repetitions). `test_evaluation.py` repeats a small part of it.
"""

import sys
from collections.abc import Callable

import numpy as np
import pandas as pd

from vaaffect.corpora.corpus import DIMENSIONS
from vaaffect.results import Bootstrap, metrics
from vaaffect.results.evaluation import clip_moments, evaluate
from vaaffect.results.predictions import PREDICTION_COLUMNS

NAMES = ("RMSE", "PCC", "CCC")
FOLDS = 5
GAIN, OFFSET = (0.6, 0.5, 0.7, 0.55, 0.65), (0.05, 0.0, -0.05, 0.1, 0.02)
# Standard deviations between subjects, between a subject's clips, between a clip's frames.
LABELS, ERRORS = (0.15, 0.25, 0.08), (0.12, 0.12, 0.08)
EVEN, UNEVEN = (2, 3), (1, 1, 1, 2, 2, 3, 4, 6)  # clips of a subject, drawn from these


def simulated(people: int, clips: tuple[int, ...], rng: np.random.Generator) -> pd.DataFrame:
    """Predictions of FOLDS networks for newly drawn subjects; dimensions are independent."""
    owner = np.repeat(np.arange(people), rng.choice(clips, people))
    clip = np.repeat(np.arange(len(owner)), rng.integers(3, 8, len(owner)))
    person = owner[clip]
    fold = person % FOLDS

    def levels(sizes: tuple[float, float, float]) -> np.ndarray:
        parts = ((people, person), (len(owner), clip), (len(clip), slice(None)))
        return sum(rng.normal(0, sd, n)[of] for sd, (n, of) in zip(sizes, parts, strict=True))

    table = pd.DataFrame({"fold": fold, "subject": person, "clip": clip, "frame": 0})
    table["frame"] = np.arange(len(clip))
    for dimension in DIMENSIONS:
        true = levels(LABELS)
        table[f"{dimension}_true"] = true
        table[f"{dimension}_pred"] = (
            np.take(GAIN, fold) * true + np.take(OFFSET, fold) + levels(ERRORS)
        )
    same = {"model": "m", "recipe": "r", "train_corpus": "A", "test_corpus": "A"}
    return table.assign(**same, split="subject", seed=0)[PREDICTION_COLUMNS]


def expectation(people: int, clips: tuple[int, ...], repetitions: int, seed: int) -> pd.Series:
    """The truth: what each metric is on average over new subjects, per fold and for their mean."""
    rng = np.random.default_rng([seed, 1])
    values: dict[tuple[str, str], list[float]] = {}
    for _ in range(repetitions):
        of_folds = {str(k): d for k, d in simulated(people, clips, rng).groupby("fold")}
        for dimension in DIMENSIONS:
            for name in NAMES:
                metric = getattr(metrics, name.lower())
                found = {
                    fold: metric(d[f"{dimension}_true"], d[f"{dimension}_pred"])
                    for fold, d in of_folds.items()
                }
                found["mean"] = np.mean(list(found.values()))
                for fold, value in found.items():
                    values.setdefault((name, fold), []).append(value)
    return pd.Series({key: np.mean(of) for key, of in values.items()})


def in_use(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The intervals of `evaluate`."""
    return evaluate(table, 1, names=NAMES, bootstrap=Bootstrap(200, seed))


def frames_resampled(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same method, told that every frame is a subject and a clip of its own."""
    alone = table["frame"].astype(str)
    return in_use(table.assign(subject=alone, clip=alone), seed)


def two_stage_percentiles(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The predecessor: m of m subjects, clips drawn anew within them, percentiles."""
    rng = np.random.default_rng(seed)
    rows = []
    for dimension in DIMENSIONS:
        samples: dict[tuple[str, str], np.ndarray] = {}
        for fold, d in table.groupby("fold"):
            clips, owners = clip_moments(d, dimension)
            names, index = np.unique(owners, return_inverse=True)
            drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), 200)
            weights = np.zeros((200, len(owners)))
            for i in range(len(names)):
                mine = np.flatnonzero(index == i)
                share = np.full(len(mine), 1 / len(mine))
                weights[:, mine] = rng.multinomial(drawn[:, i] * len(mine), share)
            for name in NAMES:
                samples[name, str(fold)] = metrics.FROM_MOMENTS[name](weights @ clips)
        for name in NAMES:
            of = [samples[name, str(fold)] for fold in range(FOLDS)]
            samples[name, "mean"] = np.mean(of, axis=0)
        for (name, fold), of in samples.items():
            low, high = np.nanquantile(of, [0.025, 0.975])
            rows.append({"dimension": dimension, "metric": name, "fold": fold, "low": low,
                         "high": high})  # fmt: skip
    return pd.DataFrame(rows)


def coverage(
    method: Callable[[pd.DataFrame, int], pd.DataFrame],
    people: int,
    clips: tuple[int, ...],
    repetitions: int,
    truth: pd.Series,
    seed: int = 0,
) -> pd.DataFrame:
    """How often intervals hold the truth.

    Returns:
        Index (metric, "one fold" or "mean"): held, above (fraction of intervals wholly above the
        truth), below, width (mean), count. Both dimensions count; of the folds, the first.
    """
    rng = np.random.default_rng([seed, 2])
    parts = [method(simulated(people, clips, rng), seed + i) for i in range(repetitions)]
    rows = pd.concat(parts)
    rows = rows[rows["fold"].isin(["0", "mean"])]
    true = truth.loc[pd.MultiIndex.from_frame(rows[["metric", "fold"]])].to_numpy()
    table = pd.DataFrame(
        {
            "metric": rows["metric"],
            "of": rows["fold"].replace("0", "one fold"),
            "held": (rows["low"] <= true) & (true <= rows["high"]),
            "above": rows["low"] > true,
            "below": rows["high"] < true,
            "width": rows["high"] - rows["low"],
        }
    ).groupby(["metric", "of"])
    return table.mean().assign(count=table.size())


def main(repetitions: int) -> None:
    """Print the table that `bootstrap.py` speaks of."""
    methods = (in_use, two_stage_percentiles, frames_resampled)
    for clips in (EVEN, UNEVEN):
        for people in (20, 60, 150):
            truth = expectation(people, clips, 2 * repetitions, seed=people)
            print(f"-- {people} people in {FOLDS} folds, clips of a person: one of {clips}")
            for method in methods:
                found = coverage(method, people, clips, repetitions, truth, seed=people)
                print(method.__name__, found.round(3).to_string(), sep="\n", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
