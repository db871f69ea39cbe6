"""How sure can we be? Intervals from a bootstrap over people.

What an interval is about. The networks are what they are; the people they were tested on are drawn
from a population. The interval is for the *expectation of the reported number over new people*: as
many folds, as many people in each, the same networks. The reported number estimates it without
bias. It is not the value on infinitely many people: PCC and CCC of a few people are smaller on
average, because the means of few people vary less (in our simulation, CCC is lower by 0.08 with 4
people in a fold, by 0.01 with 30). No interval can add people that a fold does not have.

How it is made. Folds are strata, people are the units that were drawn: neighbouring frames are near
copies and clips of one person are alike, so resampling frames would pretend to know far more than
we do.

1. In each fold with m people, m - 1 are drawn with replacement, each with all clips and frames (Rao
   & Wu, JASA 1988). Drawing m makes the variance too small by (m - 1) / m, a quarter for four.
   Drawing clips anew within each drawn person counts their variance twice (Davison & Hinkley, 1997,
   section 3.8): with six clips each, intervals came out 1.3 times as wide as needed.
2. Of the resampled values only the standard deviation is used. Their centre is biased: resampling a
   small sample lowers a CCC once more, by as much as the sample itself has lost, and a mean over
   folds averages the noise away but not the bias. Percentiles therefore sat too low.
3. The interval is value +- t x standard deviation, with people - folds degrees of freedom, on a
   scale where the spread does not depend on the value: atanh for PCC, ICC and CCC (Fisher), log for
   RMSE, logit for SAGR. The standard deviation is carried there by the slope at the value.

How well it holds. `tests/coverage_study.py` simulates people, clips and frames of which the truth
is known, with 20, 60 and 150 people in five folds. Of the intervals at 95 %, 92 to 98 in 100 held
it for the mean over folds, and 91 to 99 for a single fold; lowest for RMSE, whose value and width
grow together. The two-stage percentile intervals that stood here before held it 88 to 98 and 85 to
97 times, and missed CCC on one side only; resampling frames, 47 to 68 times. `test_evaluation.py`
repeats a part of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import special, stats


def clip_weights(owners: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each clip counts in each bootstrap sample.

    Of m subjects, m - 1 are drawn with replacement, and a drawn subject comes with all its clips.
    Fewer than m, because then the variance of a mean over subjects is right (Rao & Wu 1988).

    Args:
        owners: (clips,) subject of each clip; at least two subjects.
        resamples: number of bootstrap samples.
        rng: source of randomness.

    Returns:
        (resamples, clips) whole numbers as float64.
    """
    subjects, index = np.unique(owners, return_inverse=True)
    count = len(subjects)
    drawn = rng.multinomial(count - 1, np.full(count, 1 / count), resamples)
    return drawn[:, index].astype(np.float64)


@dataclass(frozen=True)
class SubjectDraws:
    """How often each person is drawn.

    Attributes:
        weights: by fold, (resamples, people of the fold), people in sorted order.
        freedom: by fold, and for "mean", degrees of freedom: people - strata.
    """

    weights: dict[str, np.ndarray]
    freedom: dict[str, int]


@dataclass
class SubjectSampler:
    """Draws people, the same for all models and dimensions that share folds and people.

    Attributes:
        resamples: number of bootstrap samples.
        seed: of the draws.
        known: what was drawn already, by folds and people.
    """

    resamples: int
    seed: int
    known: dict[tuple, SubjectDraws] = field(default_factory=dict)

    def __call__(self, folds: Mapping[str, pd.DataFrame]) -> SubjectDraws:
        people = {fold: np.unique(of["subject"].to_numpy()) for fold, of in folds.items()}
        key = tuple((fold, *names) for fold, names in people.items())
        if key not in self.known:
            self.known[key] = self._draw(people)
        return self.known[key]

    def _draw(self, people: dict[str, np.ndarray]) -> SubjectDraws:
        everyone = np.unique(np.concatenate(list(people.values())))
        if len(everyone) == sum(len(names) for names in people.values()):
            strata = people
        else:
            # Folds that share people, as on another corpus: to their mean, a person counts as drawn
            # in all of them or in none.
            strata = {"0": everyone}
        drawn = {}
        for fold, names in strata.items():
            rng = np.random.default_rng([self.seed, int(fold)])
            drawn[fold] = clip_weights(names, self.resamples, rng)
        freedom = {fold: len(names) - 1 for fold, names in people.items()}
        freedom["mean"] = len(everyone) - len(strata)
        if strata is people:
            return SubjectDraws(drawn, freedom)
        weights = {fold: drawn["0"][:, np.isin(everyone, names)] for fold, names in people.items()}
        return SubjectDraws(weights, freedom)


# For each metric: to the scale of its interval, back, and the slope of the way there.
_Scale = tuple[Callable[[float], float], Callable[[float], float], Callable[[float], float]]
_FISHER: _Scale = (np.arctanh, np.tanh, lambda v: 1 / (1 - v * v))
_SCALES: dict[str, tuple[float, float, _Scale]] = {
    "RMSE": (0, np.inf, (np.log, np.exp, lambda v: 1 / v)),
    "SAGR": (0, 1, (special.logit, special.expit, lambda v: 1 / (v * (1 - v)))),
    "PCC": (-1, 1, _FISHER),
    "ICC": (-1, 1, _FISHER),
    "CCC": (-1, 1, _FISHER),
    "ICC(2,1)": (-1, 1, _FISHER),
    "ICC(3,1)": (-1, 1, _FISHER),
}


def interval(
    value: float, samples: np.ndarray, freedom: int, name: str | None = None, level: float = 0.95
) -> tuple[float, float]:
    """The interval around a value, from its bootstrap samples; the module says how and why.

    Args:
        value: the estimate.
        samples: (resamples,) its values in the bootstrap samples; undefined ones are left out.
        freedom: degrees of freedom, people - folds.
        name: of the metric; None for a number without bounds, such as a difference.
        level: of the interval.

    Returns:
        low, high; nan where the value or more than half of the samples are undefined.
    """
    defined = samples[np.isfinite(samples)]
    if not np.isfinite(value) or len(defined) < max(2, len(samples) / 2) or freedom < 1:
        return float("nan"), float("nan")
    half = float(stats.t.ppf((1 + level) / 2, freedom) * defined.std(ddof=1))
    if name is None:
        return value - half, value + half
    least, most, (forward, back, slope) = _SCALES[name]
    if not least < value < most or half == 0:  # at a bound there is no such scale
        return max(value - half, least), min(value + half, most)
    middle, half = forward(value), half * slope(value)
    return float(back(middle - half)), float(back(middle + half))
