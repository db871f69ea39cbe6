"""How sure can we be? Intervals over subjects, seeds and training subjects.

What an interval is about. A number in a table belongs to a *method*: as many folds, as many
subjects in each, of a corpus of the same kind; the number estimates its expectation without bias.
It is not the value on infinitely many subjects: PCC and CCC of a few subjects are smaller on
average, because the means of few subjects vary less (in our simulation, CCC is lower by 0.08 with 4
subjects in a fold, by 0.01 with 30). No interval can add subjects that a fold does not have.

The variance of an average over folds and seeds has three parts, which are added, with degrees of
freedom after Satterthwaite (Biometrics 1946):

1. Test subjects, by a bootstrap (below); a fold is a stratum, of subjects - 1 degrees of freedom.
2. Seeds: the variance between the means of seeds, over their number.
3. Training subjects: other subjects would have made other networks. Folds share most of theirs, so
   this moves all folds together, and no resampling of predictions shows it. `Spread.of_training`
   estimates it from the variation between folds, after Nadeau & Bengio (2003).

With one seed there is no second part, and `unit_of` says so. The interval of a *single fold* has
the first part alone: it is about that trained network.

The bootstrap. Neighbouring frames are near copies and clips of one subject are alike, so resampling
frames would pretend to know far more than we do.

1. In each fold with m subjects, m - 1 are drawn with replacement, each with all clips and frames
   (Rao & Wu, JASA 1988). Drawing m makes the variance too small by (m - 1) / m, a quarter for four.
   Drawing clips anew within each drawn subject counts their variance twice (Davison & Hinkley,
   1997, section 3.8): with six clips each, intervals came out 1.3 times as wide as needed.
2. Of the resampled values only the standard deviation is used. Their centre is biased: resampling a
   small sample lowers a CCC once more, by as much as the sample itself has lost, and a mean over
   folds averages the noise away but not the bias. Percentiles therefore sat too low.
3. The interval is value +- t x standard deviation on a scale where the spread does not depend on
   the value: atanh for PCC, ICC and CCC (Fisher), log for RMSE, logit for SAGR. The standard
   deviation is carried there by the slope at the value.

How well it holds. `python -m vaaffect bench coverage` trains and tests two fast methods (a line on
landmarks, small forests with three seeds) on many new simulated corpora in the layouts that studies
use, and counts the intervals at 95 % that hold the mean over corpora, for each method and for their
paired difference. On the corpora on which this method was chosen among four, 115 wild ones with 200
subjects: PCC 96 to 99 in 100, CCC 85 to 98 (least for the line's valence; of differences 94 to 98),
RMSE 98 to 100. Of 120 laboratories with 16: PCC 95 to 100, CCC 94 to 100, RMSE 90 to 99. Test
subjects and seeds alone, without the third part, held CCC 59 to 83 times in the wild, and RMSE 75
to 96 times in the laboratory. `reports/benchmarks/coverage.md` has 60 of each
kind, some of which may be among these: wild CCC 87 to 95, of differences 95; laboratory CCC 92 to
100, RMSE of differences 90. `tests/coverage_study.py` does the same where networks are numbers, and
`test_evaluation.py` repeats a part of it.

Tried for folds of three and four subjects, of the same networks on new subjects, and not kept: all
of them as one stratum, each with two subjects or more in every draw (held RMSE 82 and CCC 86 to 89
times in 100), and a jackknife (as wide as the bootstrap). Degrees of freedom counted in all strata
together, subjects - folds, held RMSE 91 to 95 times; added up from the folds, 95 to 97 (jackknife).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special, stats


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made."""

    resamples: int = 1000  # number of bootstrap samples; 0 leaves the intervals out (nan)
    seed: int = 0  # of the draws
    level: float = 0.95  # of the intervals


DEFAULT_BOOTSTRAP = Bootstrap()


FEWEST = 5  # subjects; of fewer alone, an interval says nothing
METHOD, TRAINED = "method", "these trained networks"  # what a number is about, see `unit_of`


def unit_of(seeds: int) -> str:
    """What the interval of an average over folds is about. METHOD where its models were trained
    with several seeds. With one seed TRAINED: what another seed does to all folds at once has not
    been seen, so the interval promises no more than new subjects for the same networks."""
    return METHOD if seeds > 1 else TRAINED


@dataclass(frozen=True)
class Estimate:
    """A number, and what it is in each bootstrap sample, (resamples,)."""

    value: float
    samples: np.ndarray

    @classmethod
    def mean(cls, estimates: Sequence["Estimate"]) -> "Estimate":
        """The average of several estimates, which met the same subjects in each sample."""
        value = float(np.mean([estimate.value for estimate in estimates]))
        return cls(value, np.mean([estimate.samples for estimate in estimates], axis=0))

    def __sub__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value - other.value, self.samples - other.samples)


@dataclass(frozen=True)
class Spread:
    """What one source of variation, such as subjects or seeds, adds to an estimate's variance."""

    variance: float
    freedom: float  # degrees of freedom

    @classmethod
    def of_samples(cls, samples: np.ndarray, freedom: float) -> "Spread":
        """From (resamples,) values of an estimate, undefined ones left out; nan where more than
        half of them are."""
        defined = samples[np.isfinite(samples)]
        enough = len(defined) >= max(2, len(samples) / 2) and freedom >= 1
        return cls(float(defined.var(ddof=1)) if enough else float("nan"), freedom)

    @classmethod
    def of_mean(cls, values: Sequence[float]) -> "Spread":
        """Of the mean of two or more independent values, such as those of seeds."""
        return cls(float(np.var(values, ddof=1)) / len(values), len(values) - 1)

    @classmethod
    def of_training(cls, values: Sequence[float]) -> "Spread":
        """Of the mean of k folds' values, as far as other training subjects would have moved all
        folds together (Nadeau & Bengio, Machine Learning 2003); 0 for a single fold.

        They estimate the correlation of two folds as the share of subjects that is tested, 1/k. The
        variance of the mean is then S^2 (1/k + 1/(k - 1)), S^2 between folds. The first addend is
        what test subjects and seeds explain; this is the second.
        """
        k = len(values)
        return cls(float(np.var(values, ddof=1)) / (k - 1) if k > 1 else 0.0, max(k - 1, 1))

    @classmethod
    def sum(cls, spreads: Sequence["Spread"]) -> "Spread":
        """Of independent sources together, with degrees of freedom after Satterthwaite (1946)."""
        total = sum(spread.variance for spread in spreads)
        if not total > 0:
            return cls(total, min(spread.freedom for spread in spreads))
        return cls(total, total**2 / sum(s.variance**2 / s.freedom for s in spreads if s.variance))

    def times(self, factor: float, freedom: float) -> "Spread":
        """So many times the variance, known with other degrees of freedom."""
        return Spread(self.variance * factor, freedom)

    def half_width(self, level: float) -> float:
        """Half of the interval's width, in units of the estimate."""
        return float(stats.t.ppf((1 + level) / 2, self.freedom) * np.sqrt(self.variance))

    def detectable(self, level: float) -> float:
        """The true value whose interval would exclude 0 with a probability of 80 %."""
        power = float(stats.t.ppf(0.8, self.freedom) * np.sqrt(self.variance))
        return self.half_width(level) + power


def clip_weights(owners: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each clip counts in each sample: (resamples, clips) whole numbers as float64.

    Of m >= 2 subjects, the (clips,) `owners`, m - 1 are drawn with replacement, and a drawn subject
    comes with all its clips; the module says why.
    """
    subjects, index = np.unique(owners, return_inverse=True)
    count = len(subjects)
    drawn = rng.multinomial(count - 1, np.full(count, 1 / count), resamples)
    return drawn[:, index].astype(np.float64)


@dataclass(frozen=True)
class SubjectDraws:
    """How often each subject is drawn, by fold."""

    subjects: dict[str, np.ndarray]  # of each fold, sorted
    weights: dict[str, np.ndarray]  # (resamples, subjects of the fold)
    # Which stratum each fold is drawn from, and its subjects - 1: the degrees of freedom. Strata
    # are independent of each other.
    strata: dict[str, tuple[str, int]]


def subject_draws(folds: Mapping[str, pd.DataFrame], bootstrap: Bootstrap) -> SubjectDraws:
    """Draws for folds {"0": rows with a column `subject`}; the same for the same subjects."""
    subjects = {
        fold: np.sort(np.asarray(rows["subject"].unique(), object)) for fold, rows in folds.items()
    }
    everyone = np.unique(np.concatenate(list(subjects.values())))
    shared = len(everyone) < sum(len(names) for names in subjects.values())
    # Folds that share subjects, as on another corpus: to their mean, a subject counts as drawn in
    # all of them or in none.
    stratum_of = {fold: "0" if shared else fold for fold in subjects}
    members = {"0": everyone} if shared else subjects
    drawn = {}
    for stratum, names in members.items():
        rng = np.random.default_rng([bootstrap.seed, int(stratum)])
        drawn[stratum] = clip_weights(names, bootstrap.resamples, rng)
    return SubjectDraws(
        subjects,
        {fold: drawn[s][:, np.isin(members[s], subjects[fold])] for fold, s in stratum_of.items()},
        {fold: (s, len(members[s]) - 1) for fold, s in stratum_of.items()},
    )


# For each metric: its bounds; to the scale of its interval, back, and the slope of the way there.
_FISHER = (-1, 1, np.arctanh, np.tanh, lambda v: 1 / (1 - v * v))
_SCALES: dict[str, tuple[float, float, Callable, Callable, Callable]] = {
    "RMSE": (0, np.inf, np.log, np.exp, lambda v: 1 / v),
    "SAGR": (0, 1, special.logit, special.expit, lambda v: 1 / (v * (1 - v))),
    **dict.fromkeys(("PCC", "ICC", "CCC", "ICC(2,1)", "ICC(3,1)"), _FISHER),
}


def interval(
    value: float, samples: np.ndarray, freedom: float, name: str | None = None, level: float = 0.95
) -> tuple[float, float]:
    """The interval around a value, from its bootstrap samples; the module says how and why.

    Args:
        value: the estimate.
        samples: (resamples,) its values in the bootstrap samples; undefined ones are left out.
        freedom: degrees of freedom, such as subjects - folds.
        name: of the metric; None for a number without bounds, such as a difference.

    Returns:
        low, high; nan where the value or more than half of the samples are undefined.
    """
    return spread_interval(value, Spread.of_samples(samples, freedom), name, level)


def spread_interval(
    value: float, spread: Spread, name: str | None = None, level: float = 0.95
) -> tuple[float, float]:
    """The interval around a value of which the spread is known; arguments as of `interval`."""
    half = spread.half_width(level)
    if not np.isfinite([value, half]).all():
        return float("nan"), float("nan")
    if name is None:
        return value - half, value + half
    least, most, forward, back, slope = _SCALES[name]
    if not least < value < most or half == 0:  # at a bound there is no such scale
        return max(value - half, least), min(value + half, most)
    middle, half = forward(value), half * slope(value)
    return float(back(middle - half)), float(back(middle + half))
