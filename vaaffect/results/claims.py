"""What the thesis expects or states, as hypotheses, each decided by code from an effect.

A claim is a comparison whose effect is positive where the claim holds. With its 95 % interval above
zero it is supported, below zero not supported; otherwise, or where the comparison cannot be made,
undecided. The intervals are those of single comparisons: among eight verdicts, one in error would
be no wonder. A verdict holds for the data that it names, and for nothing else.

Where several differences are averaged (both dimensions, several networks) they were measured on the
same people. The half-width of the average is then at most the average of the half-widths, and that
is what is used: such an interval is never too narrow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from ..corpora import DIMENSIONS
from .error_analysis import neutral_bias
from .evaluation import Difference, paired_difference

SUPPORTED, NOT_SUPPORTED, UNDECIDED = "supported", "not supported", "undecided"


@dataclass(frozen=True)
class Claim:
    """One row of the table of claims.

    Attributes:
        claim: "H1" to "H6".
        statement: what is expected.
        thesis: where the thesis has it from, and what it found itself.
        comparison: what was compared; a positive effect speaks for the statement.
        effect, low, high: the effect and its 95 % interval; nan where it could not be measured.
        verdict: SUPPORTED, NOT_SUPPORTED or UNDECIDED.
        data: on which data.
    """

    claim: str
    statement: str
    thesis: str
    comparison: str
    effect: float
    low: float
    high: float
    verdict: str
    data: str


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
    **draw,
) -> Claim:
    """H1: networks do at least as well as the best methods before them.

    Args:
        predictions: a row per frame, of networks and of the methods of [7] and [17]
            on the same folds.
        networks, classical: names of models.
        wild: label of the corpus in the wild.
        among: which of their methods these are, where they are not all, in words.
        draw: resamples and seed, as of `evaluation.paired_difference`.
    """
    statement = "Finetuned networks reach the state of the art in the wild"
    thesis = "a goal, which it came fairly close to (section 6)"
    among = among and f" {among}"
    if not classical:
        why = f"not measured: no method of [7] and [17]{among} is in this study"
        return _claim("H1", statement, thesis, why, float("nan"), float("nan"), "none")

    def mean_pcc(model: str) -> float:
        pair = {"model": model, "train_corpus": wild, "test_corpus": wild}
        found = _differences(predictions, pair, pair, "PCC", resamples=0)
        return float(np.mean([difference.first for difference in found]))

    best, rival = (max(names, key=mean_pcc) for names in (networks, classical))
    here = {"train_corpus": wild, "test_corpus": wild}
    found = _differences(
        predictions, {"model": best} | here, {"model": rival} | here, "PCC", **draw
    )
    return _claim(
        "H1",
        statement,
        thesis,
        f"PCC of the best network ({best}) - that of the best method of Kossaifi et al. [7] and "
        f"Kollias et al. [17]{among} ({rival}), same folds, mean of both dimensions",
        *_average(found),
        wild,
    )


def the_wild_generalizes_better(
    predictions: pd.DataFrame, networks: Sequence[str], wild: str, lab: str, **draw
) -> Claim:
    """H2: less is lost from the wild to the laboratory than from the laboratory to the wild.

    What a network loses abroad is measured against one that was trained there, on the same frames;
    CCC of different corpora would not be comparable.

    Args:
        predictions: a row per frame; both corpora, each tested on both.
        networks: names of models.
        wild, lab: labels of the two corpora.
        draw: resamples and seed, as of `evaluation.paired_difference`.
    """
    gains = {}
    for home, away in ((wild, lab), (lab, wild)):
        found = [
            difference
            for name in networks
            for difference in _differences(
                predictions,
                {"model": name, "train_corpus": home, "test_corpus": away},
                {"model": name, "train_corpus": away, "test_corpus": away},
                "CCC",
                **draw,
            )
        ]
        gains[home] = _average(found)
    (outward, half), (back, other_half) = gains[wild], gains[lab]
    people = predictions.groupby("test_corpus")["subject"].nunique()
    # Different people in the two corpora: independent.
    return _claim(
        "H2",
        "Training in the wild generalizes better to the laboratory than the reverse",
        "a goal, and clearly found so (section 5.1.2, table 4)",
        "what CCC changes against a native, wild to laboratory, minus the same from laboratory to "
        f"wild, mean of networks and dimensions; the wild corpus has {people[wild]} people, the "
        f"laboratory {people[lab]}, so this is about corpora and their sizes alike",
        outward - back,
        float(np.hypot(half, other_half)),
        f"{wild} and {lab}",
    )


def expected_ranges(poses: pd.DataFrame | None = None) -> Claim:
    """H3: the live system answers neutral, happy and angry within the expected ranges.

    The claim is about all of them, so the effect is the margin of the worst: how far inside its
    range the answer lies that lies least inside.

    Args:
        poses: as of `acted_emotions.check_poses`; None where nothing was read.
    """
    statement = "The live system answers neutral, happy and angry within the expected ranges"
    thesis = "a goal, not reached for neutral, and not always for the others (section 5.2)"
    if poses is None:
        why = "not measured: it takes a camera or a recorded clip"
        return _claim("H3", statement, thesis, why, float("nan"), float("nan"), "none")
    of = poses[poses["emotion"].isin(("neutral", "happiness", "anger"))]
    effect, low, high = of[["margin", "margin_low", "margin_high"]].min().tolist()
    what = (
        "distance of the mean answer into its expected range, moved to where the face was drawn, "
        "least of neutral, happiness and anger in both dimensions"
    )
    data = of["data"].iloc[0]
    return Claim("H3", statement, thesis, what, effect, low, high, verdict(low, high), data)


def resnet_against_vgg(
    predictions: pd.DataFrame, resnet: str, vgg: str, wild: str, lab: str, **draw
) -> list[Claim]:
    """H4: ResNet is the better one in the wild, VGG in the laboratory; a row for each.

    Args:
        predictions: a row per frame.
        resnet, vgg: names of the two models.
        wild, lab: labels of the two corpora.
        draw: resamples and seed, as of `evaluation.paired_difference`.
    """
    claims = []
    for corpus, first, second, where, thesis in (
        (wild, resnet, vgg, "in the wild", "expected, and found so (section 5.1.3, table 2)"),
        (lab, vgg, resnet, "in the laboratory",
         "found, on one fold, against what it expected (section 5.1.3, table 3)"),
    ):  # fmt: skip
        here = {"train_corpus": corpus, "test_corpus": corpus}
        found = _differences(
            predictions, {"model": first} | here, {"model": second} | here, "CCC", **draw
        )
        statement = {resnet: "ResNet beats VGG", vgg: "VGG beats ResNet"}[first]
        claims.append(
            _claim(
                "H4",
                f"{statement} {where}",
                thesis,
                f"CCC of {first} - CCC of {second}, each with a recipe of its own, same folds, "
                "mean of both dimensions",
                *_average(found),
                corpus,
            )
        )
    return claims


def transfer_beats_scratch(
    predictions: pd.DataFrame,
    pairs: Sequence[tuple[Mapping[str, object], Mapping[str, object]]],
    start: str,
    data: str,
    **draw,
) -> Claim:
    """H5: networks that start from other pictures' weights beat networks that start at random.

    Args:
        predictions: a row per frame.
        pairs: for each network, what selects it with transfer and from scratch, see
            `evaluation.paired_difference`; empty where no weights to start from were at hand.
        start: what transfer means here, in words.
        data: label of the corpus.
        draw: resamples and seed, as of `evaluation.paired_difference`.
    """
    statement = "Transfer learning beats training from scratch"
    thesis = "assumed, after Kossaifi et al. [7], and not examined (section 1.4)"
    if not pairs:
        why = "not measured: every network of this study was trained from the same kind of start"
        return _claim("H5", statement, thesis, why, float("nan"), float("nan"), "none")
    found = [d for pair in pairs for d in _differences(predictions, *pair, "CCC", **draw)]
    names = " and ".join(dict.fromkeys(str(one["model"]) for one, _ in pairs))
    what = (
        f"CCC of {names} started from {start} - the same started from random weights, same recipe "
        "and folds, mean of networks and dimensions"
    )
    return _claim("H5", statement, thesis, what, *_average(found), data)


def labels_explain_neutral(
    predictions: pd.DataFrame, networks: Sequence[str], wild: str, **draw
) -> list[Claim]:
    """H6: the training labels explain how neutral faces are misread; a row for direction and size.

    Direction: the mean answer for neutral frames, projected on the direction of the mean training
    label, is positive where both point the same way. Size: what the labels foretell for a network
    with this correlation (`error_analysis.neutral_bias`) is nearer to that answer than (0, 0) is.
    Its interval is that of the answer alone: what is foretold counts as known, and distances are
    taken to first order.

    Args:
        predictions: a row per frame.
        networks: names of models.
        wild: label of the corpus in the wild.
        draw: resamples and seed, as of `evaluation.paired_difference`.
    """
    chosen = predictions[
        predictions["model"].isin(networks)
        & (predictions["train_corpus"] == wild)
        & (predictions["test_corpus"] == wild)
    ]
    bias = neutral_bias(chosen, **draw)
    towards, nearer = [], []
    for _, of in bias.groupby("model", sort=False):
        label, told, seen = (of[k].to_numpy() for k in ("mean_label", "foretold", "observed"))
        half = (of["high"] - of["low"]).to_numpy() / 2
        direction = _unit(label)
        towards.append((direction @ seen, np.abs(direction) @ half))
        # How a distance changes with the answer, to first order.
        gradient = _unit(seen) - _unit(seen - told)
        saved = np.linalg.norm(seen) - np.linalg.norm(seen - told)
        nearer.append((saved, np.abs(gradient) @ half))
    thesis = "offered as an explanation (section 5.2)"
    return [
        _claim(
            "H6",
            "Neutral faces are misread towards the mean label",
            thesis,
            "mean answer for frames labelled (0, 0), projected on the direction of the mean "
            "training label, mean of networks",
            *np.mean(towards, axis=0).tolist(),
            wild,
        ),
        _claim(
            "H6",
            "Neutral faces are misread as the labels foretell, rather than not at all",
            thesis,
            "distance of that answer from (0, 0) - its distance from what the labels foretell for "
            "a network with this correlation, mean of networks",
            *np.mean(nearer, axis=0).tolist(),
            wild,
        ),
    ]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(np.linalg.norm(vector), 1e-12)


def claims_frame(claims: Sequence[Claim]) -> pd.DataFrame:
    """A row per claim, columns as of `Claim`."""
    return pd.DataFrame([asdict(claim) for claim in claims])


def _differences(
    predictions: pd.DataFrame,
    first: Mapping[str, object],
    second: Mapping[str, object],
    metric: str,
    **draw,
) -> list[Difference]:
    return [
        paired_difference(predictions, first, second, metric=metric, dimension=dimension, **draw)
        for dimension in DIMENSIONS
    ]


def _average(differences: Sequence[Difference]) -> tuple[float, float]:
    """(mean of the differences, half-width of its interval)."""
    value = float(np.mean([d.value for d in differences]))
    return value, float(np.mean([(d.high - d.low) / 2 for d in differences]))


def _claim(
    key: str, statement: str, thesis: str, comparison: str, effect: float, half: float, data: str
) -> Claim:
    low, high = effect - half, effect + half
    return Claim(key, statement, thesis, comparison, effect, low, high, verdict(low, high), data)
