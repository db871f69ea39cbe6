"""What the thesis expects or states, as hypotheses, each decided by code from an effect.

A claim is a comparison whose effect is positive where the claim holds. With its 95 % interval above
zero it is supported, below zero not supported, otherwise undecided; where the comparison cannot be
made it is not measured. The intervals are those of single comparisons: among eight verdicts, one in
error would be no wonder. Each claim has a sentence that says exactly what was shown, for what
(`unit`) and on which data; a verdict holds for nothing else.

Where several differences are averaged (both dimensions, several networks) they were measured on the
same subjects, and their average has one interval of its own (`comparisons.mean_difference`).

The functions take predictions (a row per frame, PREDICTION_COLUMNS), names of models, the labels of
the corpora (`wild`: in the wild, `lab`: in the laboratory), and how intervals are made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from .bootstrap import METHOD, TRAINED, Bootstrap, spread_interval, unit_of
from .comparisons import Difference, Pair, mean_difference, selected
from .error_analysis import size_of_neutral_bias

SUPPORTED, NOT_SUPPORTED, UNDECIDED = "supported", "not supported", "undecided"
NOT_MEASURED = "not measured"  # beside the verdicts of claims
CORPORA = "these corpora"  # a unit beside METHOD and TRAINED
# Settings of a recipe that a search with the same budget may choose for each network.
SEARCHED = ("lr", "epochs")
_NOTHING = "none"  # the unit and the data of what was not measured


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
    verdict: str  # SUPPORTED, NOT_SUPPORTED, UNDECIDED or NOT_MEASURED
    unit: str  # what the verdict is about: METHOD, TRAINED, CORPORA or "none"
    seeds: int  # of the weights, per network; 0 where nothing was measured
    sentence: str  # what exactly was shown
    smallest: float  # the true effect that would be decided with a probability of 80 %, or nan
    data: str  # on which data


def verdict(low: float, high: float) -> str:
    """What the interval of an effect says about a claim that expects it to be positive."""
    if low > 0:
        return SUPPORTED
    return NOT_SUPPORTED if high < 0 else UNDECIDED  # nan is undecided too


def against_each_method(
    predictions: pd.DataFrame,
    network: str,
    methods: Sequence[str],
    wild: str,
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """A network against each of several methods in the wild: PCC, mean of both dimensions.

    The network must have been chosen by what does not see the test folds. Methods without a network
    are fitted once, so that the seeds are the network's.

    Returns a row per method, best method first: network, method, network PCC, method PCC,
    difference, low, high, verdict ("beaten", "not beaten": the interval includes zero, or "better":
    the method is), smallest, subjects, seeds, unit, data; empty without methods.
    """
    chosen = _within_corpus(network, wild)
    seeds = selected(predictions, chosen)["seed"].nunique() if methods else 0
    words = {SUPPORTED: "beaten", NOT_SUPPORTED: "better", UNDECIDED: "not beaten"}
    rows = []
    for method in methods:
        pair = chosen, _within_corpus(method, wild)
        d = mean_difference(predictions, [pair], metric="PCC", bootstrap=bootstrap)
        rows.append({
            "network": network, "method": method, "network PCC": d.first, "method PCC": d.second,
            "difference": d.value, "low": d.low, "high": d.high,
            "verdict": words[verdict(d.low, d.high)], "smallest": d.smallest,
            "subjects": d.subjects, "seeds": seeds, "unit": unit_of(seeds), "data": wild,
        })  # fmt: skip
    table = pd.DataFrame(rows)
    return table.sort_values("difference", ignore_index=True) if rows else table


def networks_reach_the_state_of_the_art(against_each: pd.DataFrame, among: str = "") -> Claim:
    """H1: the best network does at least as well as each method before it, on the same folds.

    `against_each` is of `against_each_method`, of methods of [7] and [17]; `among` says in words
    which of their methods these are, where they are not all. The verdict is that against the best
    of them, which is chosen on the test folds: that favours the method, not the network.
    """
    statement = "Finetuned networks reach the state of the art in the wild"
    thesis = "a goal, which it came fairly close to (section 6)"
    among = among and f" {among}"
    if against_each.empty:
        why = f"no method of [7] and [17]{among} is in this study"
        return _not_measured("H1", statement, thesis, why)
    best = against_each.iloc[0]
    comparison = (
        f"PCC of {best['network']}, the network that inner validation chose, - that of "
        f"{best['method']}, on the test folds the best method of Kossaifi et al. [7] and Kollias "
        f"et al. [17]{among}, same folds, mean of both dimensions"
    )
    groups = against_each.groupby("verdict", sort=False)["method"].agg("; ".join)
    words = {"beaten": "Beaten one by one", "not beaten": "Neither beaten nor better",
             "better": "Better than the network"}  # fmt: skip
    named = ". ".join(f"{words[kind]}: {groups[kind]}" for kind in words if kind in groups)
    effect = best["difference"], best["low"], best["high"], best["smallest"]
    sizes = best["subjects"], best["seeds"]
    return _claim("H1", statement, thesis, comparison, effect, sizes, best["data"], more=named)


def the_wild_generalizes_better(
    predictions: pd.DataFrame,
    networks: Sequence[str],
    wild: str,
    lab: str,
    *,
    bootstrap: Bootstrap,
) -> Claim:
    """H2: less is lost from the wild to the laboratory than from the laboratory to the wild.

    What a cross-corpus model loses is measured against a within-corpus one, on the same frames; CCC
    of different corpora would not be comparable. So each network must have been trained on both
    corpora, and each time tested on both. There are two corpora, so the verdict is about these two:
    both were drawn once. Where they differ in their numbers of subjects or of frames, the
    sentence says so: a model that has seen more generalizes better, whatever it has seen.
    """

    def moved(train: str, test: str) -> list[Pair]:
        return [
            (_within_corpus(name, test) | {"train_corpus": train}, _within_corpus(name, test))
            for name in networks
        ]

    d = mean_difference(
        predictions, moved(wild, lab), against=moved(lab, wild), metric="CCC", bootstrap=bootstrap
    )
    frames = predictions[["test_corpus", "subject", "clip", "frame"]].drop_duplicates()
    by_corpus = frames.groupby("test_corpus")
    people, count = by_corpus["subject"].nunique(), by_corpus.size()
    sizes = " and ".join(
        f"{count[corpus]} frames of {people[corpus]} subjects ({corpus})" for corpus in (wild, lab)
    )
    equal = people[wild] == people[lab] and count[wild] == count[lab]
    more = f"Both are of one size: {sizes}" if equal else f"Confounded with size: {sizes}"
    return _claim(
        "H2",
        "Training in the wild generalizes better to the laboratory than the reverse",
        "a goal, and clearly found so (section 5.1.2, table 4)",
        "what CCC changes against a within-corpus model, wild to laboratory, minus the same from "
        "laboratory to wild, mean of networks and dimensions",
        (d.value, d.low, d.high, d.smallest),
        (d.subjects, d.seeds),
        f"{wild} and {lab}",
        unit=CORPORA,
        more=more,
    )


def expected_ranges(poses: pd.DataFrame | None = None) -> Claim:
    """H3: the live system predicts neutral, happy and angry within the expected ranges.

    The claim is about all of them, so the effect is the margin of the worst: how far inside its
    range the prediction lies that lies least inside, with intervals that hold for all six at once.
    `poses` are as of `acted_emotions.check_poses`; None where nobody has acted whom the verdict
    could be about: drawings say nothing of a network that was trained on real people.
    """
    statement = "The live system predicts neutral, happy and angry within the expected ranges"
    thesis = "a goal, not reached for neutral, and not always for the others (section 5.2)"
    if poses is None:
        return _not_measured("H3", statement, thesis, "no person has acted in front of a camera")
    named = poses[poses["emotion"].isin(("neutral", "happiness", "anger"))]
    worst = named.loc[named["margin"].idxmin()]
    effect, low, high = named[["margin", "margin_low", "margin_high"]].min().tolist()
    comparison = (
        "distance of the mean prediction into its expected range, moved to where the face was "
        "drawn, least of neutral, happiness and anger in both dimensions (intervals that hold for "
        "all six at once, Bonferroni)"
    )
    outside = ~named["by_correlation"].between(named["expected_low"], named["expected_high"])
    r = named.groupby("dimension", sort=False)["r"].first()
    more = (
        f"The worst is {worst['dimension']} of {worst['emotion']}: {_signed(worst['answer'])} for "
        f"a range from {_signed(worst['expected_low'])} to {_signed(worst['expected_high'])}. A "
        "network with this one's correlation ("
        + " and ".join(f"{_signed(value)} for {dimension}" for dimension, value in r.items())
        + f") would be expected to predict {_signed(worst['by_correlation'])} there, and to miss "
        f"the range in {int(outside.sum())} of {len(named)}"
    )
    sizes = int(worst["people"]), 1
    effect = effect, low, high, float("nan")
    data = worst["data"]
    return _claim("H3", statement, thesis, comparison, effect, sizes, data, more=more)


def resnet_against_vgg(
    predictions: pd.DataFrame,
    resnet: str | None,
    vgg: str | None,
    wild: str,
    lab: str,
    settings: Mapping[str, tuple[object, object]],
    *,
    bootstrap: Bootstrap,
) -> list[Claim]:
    """H4: ResNet is the better one in the wild, VGG in the laboratory; a row for each.

    Where a study has no network of one of the families (None), neither can be measured. `settings`
    are those in which the recipes of ResNet and VGG differ, {name: (ResNet's, VGG's)}, as of
    `training.differing_settings`. If there are others among them than SEARCHED, what was compared
    is recipes and architectures at once, and the verdict is undecided.
    """
    claims = []
    others = [name for name in settings if name not in SEARCHED]
    told = ", ".join(f"{name} {a} and {b}" for name, (a, b) in settings.items())
    how = f"the same recipe but for {told} (ResNet and VGG)" if told else "the same recipe"
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
        d = mean_difference(predictions, [pair], metric="CCC", bootstrap=bootstrap)
        comparison = f"CCC of {first} - CCC of {second}, {how}, same folds, mean of both dimensions"
        claims.append(_measured("H4", statement, thesis, comparison, d, corpus, differ=others))
    return claims


def transfer_beats_scratch(
    predictions: pd.DataFrame,
    pairs: Sequence[Pair],
    start: str,
    budget: str,
    data: str,
    *,
    bootstrap: Bootstrap,
) -> Claim:
    """H5: networks that start from other pictures' weights beat networks that start at random.

    `pairs`: for each network, what selects it with transfer and from scratch; empty where no
    weights to start from were at hand. `start`: what transfer means in this study, and `budget`:
    what was spent on either side, in words. `data`: label of the corpus.
    """
    statement = "Transfer learning beats training from scratch"
    thesis = "assumed, after Kossaifi et al. [7], and not examined (section 1.4)"
    if not pairs:
        why = "every network of this study was trained from the same kind of start"
        return _not_measured("H5", statement, thesis, why)
    d = mean_difference(predictions, pairs, metric="CCC", bootstrap=bootstrap)
    names = " and ".join(dict.fromkeys(str(transferred["model"]) for transferred, _ in pairs))
    comparison = (
        f"CCC of {names} started from {start} - the same started from random weights, same folds, "
        "mean of networks and dimensions"
    )
    return _measured("H5", statement, thesis, comparison, d, data, more=budget)


def labels_explain_neutral(
    predictions: pd.DataFrame, networks: Sequence[str], wild: str, *, bootstrap: Bootstrap
) -> Claim:
    """H6: the training labels explain the bias on neutral faces, in its size.

    Its direction is no evidence: the predictions of every regressor that shrinks toward the mean
    label err in that direction. Its size is: what is expected from regression to the mean for a
    network with this correlation is nearer to the mean prediction for neutral frames than (0, 0)
    is (`error_analysis.size_of_neutral_bias`). Mean of networks and seeds.
    """
    chosen = predictions["model"].isin(networks) & (predictions["train_corpus"] == wild)
    chosen &= predictions["test_corpus"] == wild
    size = size_of_neutral_bias(predictions[chosen], bootstrap=bootstrap)
    low, high = spread_interval(size.value, size.spread, level=bootstrap.level)
    smallest = size.spread.detectable(bootstrap.level)
    return _claim(
        "H6",
        "The bias on neutral faces has the size that the labels let one expect, rather than none",
        "offered as an explanation (section 5.2)",
        "how far the mean prediction for frames labelled (0, 0) reaches beyond half of the way to "
        "what is expected from regression to the mean for a network with this correlation, mean of "
        "networks",
        (size.value, low, high, smallest),
        (size.subjects, size.seeds),
        wild,
        more=f"{size.subjects} subjects have such frames. That the prediction lies on the side of "
        "the mean label is true of every regressor that shrinks toward it, and is no verdict",
    )


def claims_frame(claims: Sequence[Claim]) -> pd.DataFrame:
    """A row per claim, columns as of `Claim`."""
    return pd.DataFrame([asdict(claim) for claim in claims])


def _within_corpus(model: str, corpus: str) -> dict[str, str]:
    """What selects a model that was trained and tested on a corpus."""
    return {"model": model, "train_corpus": corpus, "test_corpus": corpus}


def _measured(
    key: str, statement: str, thesis: str, comparison: str, d: Difference, data: str, **how: object
) -> Claim:
    effect, sizes = (d.value, d.low, d.high, d.smallest), (d.subjects, d.seeds)
    return _claim(key, statement, thesis, comparison, effect, sizes, data, **how)


def _claim(
    key: str,
    statement: str,
    thesis: str,
    comparison: str,
    effect: tuple[float, float, float, float],
    sizes: tuple[int, int],
    data: str,
    *,
    unit: str = "",
    differ: Sequence[str] = (),
    more: str = "",
) -> Claim:
    """A measured claim. `effect`: value, low, high, smallest; `sizes`: subjects, seeds; `unit`: if
    not what the seeds say; `differ`: settings for which the verdict stays undecided; `more`: a
    further sentence without its full stop."""
    value, low, high, smallest = (float(number) for number in effect)
    subjects, seeds = (int(size) for size in sizes)
    unit = unit or unit_of(seeds)
    found = UNDECIDED if differ else verdict(low, high)
    why = f": recipes differ ({', '.join(differ)})" if differ else ""
    about = {METHOD: "the method", TRAINED: TRAINED, CORPORA: CORPORA}[unit]
    over = f"{subjects} subjects and {seeds} {'seed' if seeds == 1 else 'seeds'}"
    first = f"{found} for {about} on {data}, over {over}{why}"
    interval = f"{_signed(value)} [{_signed(low)}, {_signed(high)}]"
    sentence = f"{first[0].upper()}{first[1:]}. {comparison[0].upper()}{comparison[1:]}: {interval}"
    sentence += f". {more}." if more else "."
    return Claim(key, statement, thesis, comparison, value, low, high, found, unit, seeds, sentence,
                 smallest, data)  # fmt: skip


def _not_measured(key: str, statement: str, thesis: str, why: str) -> Claim:
    nan = float("nan")
    return Claim(key, statement, thesis, f"not measured: {why}", nan, nan, nan, NOT_MEASURED,
                 _NOTHING, 0, f"Not measured: {why}.", nan, _NOTHING)  # fmt: skip


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
