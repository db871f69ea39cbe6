"""What the thesis states about trainings: how long they take, and how fast they converge.

As `statements`, from the epochs of trainings: a row per epoch, columns model, recipe, data, fold,
seed, device, epoch, train_mse, val_mse, seconds. Such numbers have no subjects; their intervals are
over trainings (folds and seeds), by Student's t. Folds share training subjects, so that intervals
of errors are somewhat too narrow; those of seconds are not.
"""

import numpy as np
import pandas as pd

from .bootstrap import Spread, spread_interval
from .claims import verdict
from .statements import NOT_TESTED, Statement, not_tested

DAY = 24 * 60.0  # minutes
_TRAINING = ["model", "data", "fold", "seed"]  # what the epochs of one training have in common


def trains_faster(epochs: pd.DataFrame, faster: str, slower: str) -> Statement:
    """One network takes less time per epoch than another, on the same machine."""
    by_training = epochs.groupby([*_TRAINING, "device"])["seconds"].median()
    return _ratio(
        "4.1.1, 4.1.2",
        "ResNet trains faster than VGG",
        f"seconds of the median epoch of {slower} over those of {faster}, same fold, seed and "
        "machine",
        *_by_model(by_training, slower, faster),
        "Fewer weights are not fewer multiplications",
    )


def fewer_epochs(epochs: pd.DataFrame, fewer: str, more: str, why_not: str = "") -> Statement:
    """One network needs fewer epochs than another. `why_not` says why numbers of epochs cannot
    be compared, if they cannot."""
    section, statement = "5.1.3", "ResNet needs fewer epochs than VGG"
    if why_not:
        return not_tested(section, statement, why_not)
    count = epochs.groupby(_TRAINING)["epoch"].max()
    return _ratio(
        section, statement,
        f"epochs until {more} had converged over those until {fewer} had, same fold and seed",
        *_by_model(count, more, fewer), "By the same rule for both",
    )  # fmt: skip


def takes_days(epochs: pd.DataFrame, why_not: str = "") -> Statement:
    """The training of a fold takes more than a day. `why_not` says why these trainings are none of
    the thesis's, if they are not."""
    minutes = epochs.groupby([*_TRAINING, "recipe"])["seconds"].sum() / 60
    value, low, high = _interval(minutes.to_numpy())
    devices = ", ".join(sorted(epochs["device"].unique()))
    decided = NOT_TESTED if why_not else verdict(low - DAY, high - DAY)
    data = " and ".join(dict.fromkeys(epochs["data"]))
    how = f"the interval is held against one day ({DAY:g} minutes)"
    return Statement(
        "1.4, 3.4",
        "Training one fold takes days to weeks",
        f"minutes of training of one fold, mean of {len(minutes)} trainings on {devices}",
        value, low, high, decided, "trainings", why_not or how, data,
    )  # fmt: skip


def transfer_is_faster(
    epochs: pd.DataFrame, network: str, transferred: str, scratch: str
) -> list[Statement]:
    """A network that starts from other pictures' weights is better after one epoch, and converges
    faster, than its twin from random weights; both are names of recipes."""
    of = epochs[epochs["model"] == network]
    how = f"with and without transfer, {network}"
    return [
        better_from_the_start(
            of, transferred, scratch, "3.5", "Transfer learning begins with a better network", how
        ),
        converges_faster(
            of, transferred, scratch, "3.5", "With transfer learning, training converges faster",
            f"{how} (whose schedule may be longer)",
        ),
    ]  # fmt: skip


def converges_faster(
    epochs: pd.DataFrame, quick: str, slow: str, section: str, statement: str, how: str
) -> Statement:
    """With one recipe the error on the training part is smaller, averaged over the epochs that both
    have: the area below the learning curve. `quick` and `slow` are names of recipes."""
    common = epochs[epochs["epoch"] <= epochs.groupby("recipe")["epoch"].max().min()]
    area = common.groupby(["recipe", *_TRAINING])["train_mse"].mean()
    measured = (
        f"training error, mean of the common epochs, {how}: without over with, same network, fold "
        "and seed"
    )
    both = (area.xs(slow, level="recipe"), area.xs(quick, level="recipe"))
    return _ratio(section, statement, measured, *both, "An area, not a speed at one moment")


def better_from_the_start(
    epochs: pd.DataFrame, quick: str, slow: str, section: str, statement: str, how: str
) -> Statement:
    """After one epoch the error on inner validation is smaller with one recipe than with another;
    arguments as of `converges_faster`."""
    first = epochs[epochs["epoch"] == 1].set_index(["recipe", *_TRAINING])["val_mse"]
    measured = (
        f"inner validation error after the first epoch, {how}: without over with, same network, "
        "fold and seed"
    )
    both = (first.xs(slow, level="recipe"), first.xs(quick, level="recipe"))
    return _ratio(section, statement, measured, *both, "One epoch")


def _by_model(values: pd.Series, first: str, second: str) -> tuple[pd.Series, pd.Series]:
    """The values of two models, for the trainings that both have."""
    one, other = (values.xs(name, level="model") for name in (first, second))
    return one, other


def _ratio(
    section: str, statement: str, measured: str, one: pd.Series, other: pd.Series, why: str
) -> Statement:
    """A statement that holds where one value is larger than another, training by training: the
    mean ratio (geometric), against 1."""
    ratios = (np.log(one) - np.log(other)).dropna()  # of trainings that both have
    if ratios.empty:
        return not_tested(section, statement, "no two trainings can be compared")
    value, low, high = _interval(ratios.to_numpy())
    data = " and ".join(dict.fromkeys(ratios.index.get_level_values("data")))
    bounds = tuple(float(np.exp(x)) for x in (value, low, high))
    said = f"{measured}; {len(ratios)} pairs of trainings"
    why = f"{why}; held against 1"
    decided = verdict(low, high)
    return Statement(section, statement, said, *bounds, decided, "trainings", why, data)


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    """The mean of trainings, with its 95 % interval; without one for a single training."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    return mean, *spread_interval(mean, Spread.of_mean(values))
