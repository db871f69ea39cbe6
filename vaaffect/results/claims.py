"""What the thesis expects or states, as hypotheses, each decided by code from an effect.

A claim is a comparison whose effect is positive where the claim holds. With its 95 % interval above
zero it is supported, below zero not supported; otherwise, or where the comparison cannot be made,
undecided. The intervals are those of single comparisons: among eight verdicts, one in error would
be no wonder. A verdict holds for the data that it names, and for nothing else.

Where several differences are averaged (both dimensions, several networks) they were measured on the
same subjects, and their average has an interval of its own (`comparisons.mean_difference`).

The functions take predictions (a row per frame, PREDICTION_COLUMNS), names of models, the labels of
the corpora (`wild`: in the wild, `lab`: in the laboratory), and how intervals are made.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from ..corpora import DIMENSIONS
from .bootstrap import Bootstrap
from .comparisons import Pair, mean_difference, paired_difference
from .error_analysis import neutral_bias
from .predictions import MODEL

SUPPORTED, NOT_SUPPORTED, UNDECIDED = "supported", "not supported", "undecided"


@dataclass(frozen=True)
class Claim:
    """One row of the table of claims."""

    claim: str  # "H1" to "H6"
    statement: str  # what is expected
    thesis: str  # where the thesis has it from, and what it found itself
    comparison: str  # what was compared; a positive effect speaks for the statement
    effect: float  # nan where it could not be measured
    low: float  # of its 95 % interval
    high: float
    verdict: str  # SUPPORTED, NOT_SUPPORTED or UNDECIDED
    data: str  # on which data


def verdict(low: float, high: float) -> str:
    """What the interval of an effect says about a claim that expects it to be positive."""
    if low > 0:
        return SUPPORTED
    return NOT_SUPPORTED if high < 0 else UNDECIDED  # nan is undecided too


def networks_reach_the_state_of_the_art(
    predictions: pd.DataFrame,
    networks: Sequence[str],
    classical: Sequence[str],
    wild: str,
    among: str = "",
    *,
    bootstrap: Bootstrap,
) -> Claim:
    """H1: networks do at least as well as the best methods before them, on the same folds.

    `classical` are methods of [7] and [17]; `among` says in words which of their methods these are,
    where they are not all.
    """
    statement = "Finetuned networks reach the state of the art in the wild"
    thesis = "a goal, which it came fairly close to (section 6)"
    among = among and f" {among}"
    if not classical:
        why = f"no method of [7] and [17]{among} is in this study"
        return _not_measured("H1", statement, thesis, why)

    def mean_pcc(model: str) -> float:
        same = (_within_corpus(model, wild),) * 2
        options = {"metric": "PCC", "bootstrap": Bootstrap(0)}
        pair = (paired_difference(predictions, *same, dimension=d, **options) for d in DIMENSIONS)
        return float(np.mean([difference.first for difference in pair]))

    network, rival = (max(names, key=mean_pcc) for names in (networks, classical))
    pair = _within_corpus(network, wild), _within_corpus(rival, wild)
    effect = _mean_difference(predictions, [pair], "PCC", bootstrap)
    comparison = (
        f"PCC of the best network ({network}) - that of the best method of Kossaifi et al. [7] and "
        f"Kollias et al. [17]{among} ({rival}), same folds, mean of both dimensions"
    )
    return _claim("H1", statement, thesis, comparison, *effect, wild)


def the_wild_generalizes_better(
    predictions: pd.DataFrame, networks: Sequence[str], wild: str, lab: str, *, bootstrap: Bootstrap
) -> Claim:
    """H2: less is lost from the wild to the laboratory than from the laboratory to the wild.

    What a cross-corpus model loses is measured against a within-corpus one, on the same frames; CCC
    of different corpora would not be comparable. So each network must have been trained on both
    corpora, and each time tested on both.
    """
    gains = {}
    for train, test in ((wild, lab), (lab, wild)):
        pairs = [
            (_within_corpus(name, test) | {"train_corpus": train}, _within_corpus(name, test))
            for name in networks
        ]
        gains[train] = _mean_difference(predictions, pairs, "CCC", bootstrap)
    (outward, half), (back, other_half) = gains[wild], gains[lab]
    subjects = predictions.groupby("test_corpus")["subject"].nunique()
    # Different subjects in the two corpora: independent.
    return _claim(
        "H2",
        "Training in the wild generalizes better to the laboratory than the reverse",
        "a goal, and clearly found so (section 5.1.2, table 4)",
        "what CCC changes against a native, wild to laboratory, minus the same from laboratory to "
        f"wild, mean of networks and dimensions; the wild corpus has {subjects[wild]} people, the "
        f"laboratory {subjects[lab]}, so this is about corpora and their sizes alike",
        outward - back,
        float(np.hypot(half, other_half)),
        f"{wild} and {lab}",
    )


def expected_ranges(poses: pd.DataFrame | None = None) -> Claim:
    """H3: the live system predicts neutral, happy and angry within the expected ranges.

    The claim is about all of them, so the effect is the margin of the worst: how far inside its
    range the prediction lies that lies least inside. `poses` are as of
    `acted_emotions.check_poses`; None where nothing was predicted.
    """
    statement = "The live system answers neutral, happy and angry within the expected ranges"
    thesis = "a goal, not reached for neutral, and not always for the others (section 5.2)"
    if poses is None:
        return _not_measured("H3", statement, thesis, "it takes a camera or a recorded clip")
    three = poses[poses["emotion"].isin(("neutral", "happiness", "anger"))]
    effect, low, high = three[["margin", "margin_low", "margin_high"]].min().tolist()
    comparison = (
        "distance of the mean answer into its expected range, moved to where the face was drawn, "
        "least of neutral, happiness and anger in both dimensions"
    )
    data = three["data"].iloc[0]
    return Claim("H3", statement, thesis, comparison, effect, low, high, verdict(low, high), data)


def resnet_against_vgg(
    predictions: pd.DataFrame,
    resnet: str | None,
    vgg: str | None,
    wild: str,
    lab: str,
    *,
    bootstrap: Bootstrap,
) -> list[Claim]:
    """H4: ResNet is the better one in the wild, VGG in the laboratory; a row for each.

    Where a study has no network of one of the families (None), neither can be measured.
    """
    claims = []
    for corpus, first, second, statement, thesis in (
        (wild, resnet, vgg, "ResNet beats VGG in the wild",
         "expected, and found so (section 5.1.3, table 2)"),
        (lab, vgg, resnet, "VGG beats ResNet in the laboratory",
         "found, on one fold, against what it expected (section 5.1.3, table 3)"),
    ):  # fmt: skip
        if first is None or second is None:
            why = "this study does not have a network of each family"
            claims.append(_not_measured("H4", statement, thesis, why))
            continue
        pair = _within_corpus(first, corpus), _within_corpus(second, corpus)
        effect = _mean_difference(predictions, [pair], "CCC", bootstrap)
        comparison = (
            f"CCC of {first} - CCC of {second}, each with a recipe of its own, same folds, "
            "mean of both dimensions"
        )
        claims.append(_claim("H4", statement, thesis, comparison, *effect, corpus))
    return claims


def transfer_beats_scratch(
    predictions: pd.DataFrame,
    pairs: Sequence[Pair],
    start: str,
    data: str,
    *,
    bootstrap: Bootstrap,
) -> Claim:
    """H5: networks that start from other pictures' weights beat networks that start at random.

    `pairs`: for each network, what selects it with transfer and from scratch; empty where no
    weights to start from were at hand. `start`: what transfer means in this study, in words.
    `data`: label of the corpus.
    """
    statement = "Transfer learning beats training from scratch"
    thesis = "assumed, after Kossaifi et al. [7], and not examined (section 1.4)"
    if not pairs:
        why = "every network of this study was trained from the same kind of start"
        return _not_measured("H5", statement, thesis, why)
    effect = _mean_difference(predictions, pairs, "CCC", bootstrap)
    names = " and ".join(dict.fromkeys(str(transferred["model"]) for transferred, _ in pairs))
    comparison = (
        f"CCC of {names} started from {start} - the same started from random weights, same recipe "
        "and folds, mean of networks and dimensions"
    )
    return _claim("H5", statement, thesis, comparison, *effect, data)


def labels_explain_neutral(
    predictions: pd.DataFrame, networks: Sequence[str], wild: str, *, bootstrap: Bootstrap
) -> list[Claim]:
    """H6: the training labels explain the bias on neutral faces; a row for direction and size.

    Direction: the mean prediction for neutral frames, projected on the direction of the mean
    training label, is positive where both point the same way. Size: what is expected from
    regression to the mean for a network with this correlation (`error_analysis.neutral_bias`) is
    nearer to that prediction than (0, 0) is. Its interval is that of the prediction alone: what is
    expected counts as known, and distances are taken to first order. Effects and half-widths are
    averaged over a network's seeds, then over networks.
    """
    corpora = predictions[["train_corpus", "test_corpus"]]
    chosen = predictions["model"].isin(networks) & (corpora == wild).all(axis=1)
    bias = neutral_bias(predictions[chosen], bootstrap=bootstrap)
    by_network = []
    for _, model_rows in bias.groupby(MODEL, sort=False):
        by_seed = [_direction_and_size(rows) for _, rows in model_rows.groupby("seed", sort=False)]
        by_network.append(np.mean(by_seed, axis=0))
    towards, nearer = np.mean(by_network, axis=0).tolist()
    thesis = "offered as an explanation (section 5.2)"
    rows = (
        ("Neutral faces are misread towards the mean label",
         "mean answer for frames labelled (0, 0), projected on the direction of the mean "
         "training label, mean of networks", towards),
        ("Neutral faces are misread as the labels foretell, rather than not at all",
         "distance of that answer from (0, 0) - its distance from what the labels foretell for "
         "a network with this correlation, mean of networks", nearer),
    )  # fmt: skip
    return [
        _claim("H6", statement, thesis, comparison, *effect, wild)
        for statement, comparison, effect in rows
    ]


def _direction_and_size(bias: pd.DataFrame) -> np.ndarray:
    """[[effect, half-width] of the direction, of the size], of one seed's rows of a bias table."""
    names = ("mean_label", "foretold", "observed")
    label, expected, observed = (bias[name].to_numpy() for name in names)
    half = (bias["high"] - bias["low"]).to_numpy() / 2
    direction = _unit(label)
    # How the distance saved changes with the prediction, to first order.
    gradient = _unit(observed) - _unit(observed - expected)
    saved = np.linalg.norm(observed) - np.linalg.norm(observed - expected)
    towards = direction @ observed, np.abs(direction) @ half
    return np.array([towards, (saved, np.abs(gradient) @ half)])


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(np.linalg.norm(vector), 1e-12)


def claims_frame(claims: Sequence[Claim]) -> pd.DataFrame:
    """A row per claim, columns as of `Claim`."""
    return pd.DataFrame([asdict(claim) for claim in claims])


def _within_corpus(model: str, corpus: str) -> dict[str, str]:
    """What selects a model that was trained and tested on a corpus."""
    return {"model": model, "train_corpus": corpus, "test_corpus": corpus}


def _mean_difference(
    predictions: pd.DataFrame, pairs: Sequence[Pair], metric: str, bootstrap: Bootstrap
) -> tuple[float, float]:
    """(first - second, half-width of its interval), averaged over pairs and dimensions."""
    found = mean_difference(predictions, pairs, metric=metric, bootstrap=bootstrap)
    return found.value, (found.high - found.low) / 2


def _claim(
    key: str, statement: str, thesis: str, comparison: str, effect: float, half: float, data: str
) -> Claim:
    low, high = effect - half, effect + half
    return Claim(key, statement, thesis, comparison, effect, low, high, verdict(low, high), data)


def _not_measured(key: str, statement: str, thesis: str, why: str) -> Claim:
    nan = float("nan")
    return _claim(key, statement, thesis, f"not measured: {why}", nan, nan, "none")
