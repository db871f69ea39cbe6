"""What the thesis states beside its hypotheses (`claims`), each with a verdict computed by code.

Each statement is put into a number whose sign, or whose place beside a margin, decides it by its
95 % interval. What a study cannot measure is "not tested", with the reason. The functions here take
predictions (a row per frame, PREDICTION_COLUMNS), and have intervals over subjects as of
`comparisons.mean_difference`; those of `epoch_statements` take the epochs of trainings.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy import integrate, stats

from .bootstrap import Bootstrap
from .claims import NOT_SUPPORTED, SUPPORTED, UNDECIDED, verdict
from .comparisons import Difference, Pair, between_dimensions, mean_difference
from .evaluation import MEAN

NOT_TESTED = "not tested"
# CCC that a cross-corpus model may lose and still be called almost as good. The thesis gives no
# number; this one is ours, and was written down before anything was measured.
MARGIN = 0.05
TWO_FOLDS = "In two of five folds the network reaches the state of the art"
STRONG = "Beside the state of the art, the network is strong in valence and limited in arousal"
_NAN = float("nan")


@dataclass(frozen=True)
class Statement:
    """One row of the table of statements."""

    section: str  # of the thesis
    statement: str  # what the thesis says, in our words
    measured: str  # what was measured here
    value: float  # nan where nothing was
    low: float  # of its 95 % interval; nan where there is none
    high: float
    verdict: str  # SUPPORTED, NOT_SUPPORTED, UNDECIDED or NOT_TESTED
    over: str  # what the interval is over: "subjects", "trainings" or "none"
    why: str  # how the verdict follows, or why nothing was tested
    data: str  # on which data


def statements_frame(statements: Sequence[Statement]) -> pd.DataFrame:
    """A row per statement, columns as of `Statement`."""
    return pd.DataFrame([asdict(statement) for statement in statements])


def not_tested(section: str, statement: str, why: str) -> Statement:
    """A statement that this study cannot test."""
    return Statement(section, statement, "nothing", *[_NAN] * 3, NOT_TESTED, "none", why, "none")


def without_methods() -> list[Statement]:
    """The statements about the state of the art in a study that has no method before the networks
    to compare with."""
    why = "this study has no method of [7] and [17] that networks may be compared with"
    return [not_tested("5.1.1", TWO_FOLDS, why), not_tested("6", STRONG, why)]


def out_of_reach() -> list[Statement]:
    """What the thesis states and no notebook measures, each with the reason."""
    return [
        not_tested(
            "3.1.1", "With large data, deep networks far exceed other methods",
            "both corpora are small; on them, the table beside H1 compares networks with methods",
        ),
        not_tested(
            "3.5", "Feature extraction suits short corpora, finetuning those of some length",
            "notebook 03 shows both on some frames of one fold, which gives no interval",
        ),
        not_tested(
            "4.2", "Networks learn less from posed emotions than from spontaneous ones",
            "no corpus here has both, labelled alike",
        ),
        not_tested(
            "4.2", "Films are a better source than videos of people who react to something",
            "no corpus of such videos is in this study",
        ),
        not_tested(
            "4.3.3", "Pictures that are not prepared as in training get inaccurate predictions",
            "every network is tested with the preparation that it was trained with",
        ),
    ]  # fmt: skip


def beside_margin(low: float, high: float, margin: float = MARGIN) -> str:
    """Whether what is lost is smaller than a margin: SUPPORTED where its whole interval lies below
    the margin, NOT_SUPPORTED where it lies above."""
    return verdict(margin - high, margin - low)


def almost_as_good(
    predictions: pd.DataFrame,
    networks: Sequence[str],
    wild: str,
    lab: str,
    *,
    bootstrap: Bootstrap,
) -> Statement:
    """On the laboratory, models from the wild lose less than MARGIN against within-corpus ones."""
    d = _lost(predictions, networks, wild, lab, bootstrap)
    why = (
        f"{_lies(d, MARGIN)} {MARGIN:g}, what we call almost as good; the thesis gives no margin. "
    )
    why += "A within-corpus model that is poor itself is easily equalled"
    said = "On laboratory data, a model trained in the wild is almost as good as one trained there"
    decided = beside_margin(d.low, d.high)
    return _difference("5.1.2, 6", said, _lost_in_words(d, lab), d, decided, why, lab)


def poor_from_the_laboratory(
    predictions: pd.DataFrame,
    networks: Sequence[str],
    wild: str,
    lab: str,
    *,
    bootstrap: Bootstrap,
) -> Statement:
    """In the wild, models from the laboratory lose more than MARGIN."""
    d = _lost(predictions, networks, lab, wild, bootstrap)
    why = f"{_lies(d, MARGIN)} {MARGIN:g}, the same margin"
    said = "In the wild, models trained in the laboratory are poor"
    decided = verdict(d.low - MARGIN, d.high - MARGIN)
    return _difference("6", said, _lost_in_words(d, wild), d, decided, why, wild)


def strong_for_valence(
    predictions: pd.DataFrame, network: str, method: str, wild: str, *, bootstrap: Bootstrap
) -> Statement:
    """Beside the best method before it, a network does better in valence than in arousal."""
    first, second = (
        {"model": name, "train_corpus": wild, "test_corpus": wild} for name in (network, method)
    )
    d = between_dimensions(predictions, (first, second), metric="PCC", bootstrap=bootstrap)
    return _difference(
        "6",
        STRONG,
        f"PCC of {network}, the network that inner validation chose, minus that of {method}, the "
        f"best method before it on these folds: in valence ({_signed(d.first)}) minus in arousal "
        f"({_signed(d.second)})",
        d,
        verdict(d.low, d.high),
        f"{_lies(d, 0)} 0",
        wild,
    )


def two_folds_reach(results: pd.DataFrame, network: str, method: str, wild: str) -> Statement:
    """The two best of a network's folds reach the mean of the best method before it.

    `results` are as of `evaluation.evaluate`; PCC, mean of both dimensions and of seeds. Folds that
    were picked by their results have no honest interval, so that there is none; beside it stands
    how far the second best of so many equally good folds lies above their mean by luck alone.
    """
    rows = results.query("metric == 'PCC' and test_corpus == @wild and train_corpus == @wild")
    rows = rows[rows["fold"] != MEAN]
    folds = rows[rows["model"] == network].groupby("fold")["value"].mean()
    mark = rows.loc[rows["model"] == method].groupby("fold")["value"].mean().mean()
    second = float(np.sort(folds)[-2])
    mean, sd = float(folds.mean()), float(folds.std(ddof=1))
    by_luck = mean + sd * second_largest(len(folds))
    reached = second >= mark
    same = "says" if (mean >= mark) == reached else "does not say"
    return Statement(
        "5.1.1",
        TWO_FOLDS,
        f"PCC of {network} in the second best of its {len(folds)} folds ({_number(second)}) minus "
        f"the mean over the folds of {method}, the best method before it ({_number(mark)}); mean "
        "of both dimensions",
        float(second - mark), _NAN, _NAN,
        SUPPORTED if reached else NOT_SUPPORTED,
        "none",
        f"Two folds that were picked by their results say little: of {len(folds)} equally good "
        f"folds that vary as much as these, the second best is expected at {_number(by_luck)}, the "
        f"mean being {_number(mean)}. The mean over the folds {same} the same, and H1 decides "
        "by it",
        wild,
    )  # fmt: skip


def second_largest(count: int) -> float:
    """How many standard deviations the second largest of so many (2 or more) independent normal
    values lies above their mean, on average."""

    def weighted(x: float) -> float:
        below = stats.norm.cdf(x)
        chance = count * (count - 1) * below ** (count - 2) * (1 - below) * stats.norm.pdf(x)
        return x * chance

    return float(integrate.quad(weighted, -8, 8)[0])


def with_and_without(
    predictions: pd.DataFrame,
    with_it: str,
    without: str,
    section: str,
    statement: str,
    measured: str,
    *,
    bootstrap: Bootstrap,
) -> Statement:
    """What a part of the thesis's recipe adds to CCC; `with_it` and `without` are recipes of one
    network in the table."""
    pair = {"recipe": with_it}, {"recipe": without}
    d = mean_difference(predictions, [pair], metric="CCC", bootstrap=bootstrap)
    data = str(predictions["test_corpus"].iloc[0])
    why = f"{_lies(d, 0)} 0. One training in each fold: another seed may move it too"
    said = f"{measured}, CCC, mean of both dimensions ({_number(d.first)} and {_number(d.second)})"
    return _difference(section, statement, said, d, verdict(d.low, d.high), why, data)


def more_subjects_help(
    predictions: pd.DataFrame,
    recipes: Sequence[tuple[str, str, str]],
    share: str,
    *,
    bootstrap: Bootstrap,
) -> Statement:
    """Networks are better with all training subjects than with a part of them. `recipes`: (network,
    recipe with all, recipe with the part); `share` says in words how many the part are."""
    pairs = [_all_and_part(*row) for row in recipes]
    d = mean_difference(predictions, pairs, metric="CCC", bootstrap=bootstrap)
    return _difference(
        "4.2, 7",
        "More training data of more subjects are better",
        f"CCC with all training subjects ({_number(d.first)}) minus with {share} "
        f"({_number(d.second)}), mean of networks and dimensions",
        d,
        verdict(d.low, d.high),
        f"{_lies(d, 0)} 0",
        str(predictions["test_corpus"].iloc[0]),
    )


def more_data_favour(
    predictions: pd.DataFrame,
    vgg: tuple[str, str, str],
    resnet: tuple[str, str, str],
    share: str,
    *,
    bootstrap: Bootstrap,
) -> Statement:
    """VGG gains more from more training subjects than ResNet does; arguments as of
    `more_subjects_help`."""
    d = mean_difference(
        predictions, [_all_and_part(*vgg)], against=[_all_and_part(*resnet)], metric="CCC",
        bootstrap=bootstrap,
    )  # fmt: skip
    return _difference(
        "5.1.3, 6",
        "VGG, which has more weights, suits larger corpora better than ResNet",
        f"CCC with all training subjects minus with {share}: of {vgg[0]} ({_signed(d.first)}) "
        f"minus of {resnet[0]} ({_signed(d.second)}), mean of both dimensions",
        d,
        verdict(d.low, d.high),
        f"{_lies(d, 0)} 0. As many epochs for each part, so that a smaller one has fewer steps",
        str(predictions["test_corpus"].iloc[0]),
    )


def _lost(
    predictions: pd.DataFrame, networks: Sequence[str], train: str, test: str, how: Bootstrap
) -> Difference:
    """CCC of within-corpus models minus that of cross-corpus ones."""
    pairs = [
        ({"model": name, "train_corpus": test, "test_corpus": test},
         {"model": name, "train_corpus": train, "test_corpus": test})
        for name in networks
    ]  # fmt: skip
    return mean_difference(predictions, pairs, metric="CCC", bootstrap=how)


def _lost_in_words(d: Difference, test: str) -> str:
    return (
        f"CCC of within-corpus models ({_number(d.first)}) minus that of cross-corpus models "
        f"({_number(d.second)}) on {test}, mean of networks and dimensions"
    )


def _all_and_part(model: str, whole: str, part: str) -> Pair:
    return {"model": model, "recipe": whole}, {"model": model, "recipe": part}


def _difference(
    section: str, statement: str, measured: str, d: Difference, decided: str, why: str, data: str
) -> Statement:
    where = f"{measured}; {d.subjects} subjects, {d.folds} folds, for the {d.unit}".replace(
        "for the these", "for these"
    )
    bounds = (d.value, d.low, d.high)
    return Statement(section, statement, where, *bounds, decided, "subjects", why, data)


def _lies(d: Difference, mark: float) -> str:
    words = {SUPPORTED: "The interval lies above", NOT_SUPPORTED: "The interval lies below",
             UNDECIDED: "The interval includes"}  # fmt: skip
    return words[verdict(d.low - mark, d.high - mark)]


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
