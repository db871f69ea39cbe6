"""Where a study differs from the thesis: what the thesis did, what is done here, why, and what the
difference is expected to change. Made from the parameters of the study, so each profile has its
own table. Section numbers are the thesis's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple, dataclass
from typing import Any

import pandas as pd

from ..classical import MOST_ROWS
from ..corpora import MARGIN
from ..training import NETWORK_NAMES, Plan, Recipe, backbone_of

SAME = "the same"  # where this study does what the thesis did
NOT_SAID = "not said"
# Section 4.1, 5.1.3: what the thesis trained, by family.
_THESIS_MODELS = {"vgg11_bn": (190, 20), "resnet152": (100, 50)}  # epochs, batch size


@dataclass(frozen=True)
class Departure:
    """One row of the table."""

    what: str
    section: str  # of the thesis, if it says anything of this
    thesis: str
    here: str  # SAME where there is no difference
    why: str = ""
    effect: str = ""  # that is expected


def departures_table(parameters: Mapping[str, Any]) -> pd.DataFrame:
    """Every point on which the thesis and a study with these parameters (those of a notebook that
    trains, as of `Plan.from_parameters`) can be compared, those that differ first.

    Columns: what, section, the thesis, this study, why, expected effect; the last two are empty
    where this study does the same.
    """
    plan = Plan.from_parameters({"PROFILE": ""} | dict(parameters))
    found = [*_data(plan), *_networks(plan), *_training(plan), *_evaluation(plan)]
    found.sort(key=lambda row: row.here == SAME)
    columns = ["what", "section", "the thesis", "this study", "why", "expected effect"]
    return pd.DataFrame([astuple(row) for row in found], columns=columns)


def _compared(here: object, thesis: object, words: str = "") -> str:
    return SAME if here == thesis else words or str(here)


def _data(plan: Plan) -> Iterator[Departure]:
    reasons = {
        "real": (SAME,),
        "simulated": (
            "drawn faces in the layouts of AFEW-VA and SEMAINE",
            "both corpora are licensed and may not be passed on",
            "shows that the methods work; no figure can be compared with the thesis's",
        ),
    }
    part = (
        plan.data.removeprefix("real, "),
        "a trial before the long run",
        "figures that mean little",
    )
    yield Departure("faces", "4.2", "AFEW-VA and SEMAINE", *reasons.get(plan.data, part))
    yield Departure(
        "size of the pictures", "4.1", "224 × 224 pixels",
        _compared(plan.size, 224, f"{plan.size} × {plan.size} pixels"),
        *(() if plan.size == 224 else ("the study runs without a GPU", "fine detail is lost")),
    )  # fmt: skip
    yield Departure(
        "box around the face", "4.3.2", "from the outermost landmarks, with some scenery",
        f"from the outermost landmarks, {100 * MARGIN:.0f} % of the box added on each side",
        "the thesis does not say how much", "small",
    )  # fmt: skip
    yield Departure(
        "landmarks of the laboratory", "4.2", "a program that is not named", "dlib",
        "a well-known one whose faults are known", "a few frames more or fewer have a face",
    )  # fmt: skip
    yield Departure("frames of the laboratory", "4.2", "one in ten", SAME)


def _networks(plan: Plan) -> Iterator[Departure]:
    names = " and ".join(NETWORK_NAMES[model] for model in plan.models)
    same = list(plan.models) == list(_THESIS_MODELS)
    yield Departure(
        "networks", "4.1", "VGG11 with batch normalisation and ResNet152", SAME if same else names,
        *(() if same else ("the study has to end on this machine",
                           "smaller networks learn less; the order of the families may differ")),
    )  # fmt: skip
    starts = list(dict.fromkeys(recipe.start_in_words for _, recipe in _models(plan)))
    same = starts == [Recipe(weights="imagenet").start_in_words]
    yield Departure(
        "starting weights", "3.5", "ImageNet's", SAME if same else " and ".join(starts),
        *(() if same else ("ImageNet's weights are a download, and know photographs only",
                           "what is known beforehand is about faces, but drawn ones")),
    )  # fmt: skip


def _models(plan: Plan) -> list[tuple[str, Recipe]]:
    return [pair for pair in plan.finetuned if pair[0] in plan.models]


def _each(plan: Plan, value: str) -> str:
    """A field of the models' recipes: once where they agree, else with each model's name."""
    said = {"sgd": "SGD", "adamw": "AdamW"}
    values = {NETWORK_NAMES[model]: asdict(recipe)[value] for model, recipe in _models(plan)}
    values = {model: said.get(each, each) for model, each in values.items()}
    alike = set(values.values())
    if len(alike) == 1:
        return f"{alike.pop()}"
    return ", ".join(f"{each} ({name})" for name, each in values.items())


def _training(plan: Plan) -> Iterator[Departure]:
    recipes = [recipe for _, recipe in _models(plan)]
    native = {recipe.labels for recipe in recipes} == {"native"}
    yield Departure(
        "scale of the labels that are learned", "5.2", "evidently [−10, 10] in the wild",
        SAME if native else "[−1, 1]",
        *(() if native else (
            "both corpora on one scale; the recipe's learning rate was chosen for it",
            "under SGD with squared errors another speed of learning, which notebook 07 measures",
        )),
    )  # fmt: skip
    sgd = all(r.optimizer == "sgd" and r.momentum == 0.9 and r.lr == 0.001 for r in recipes)
    yield Departure(
        "optimizer", "4.1", "SGD, learning rate 0.001, momentum 0.9",
        SAME if sgd else f"{_each(plan, 'optimizer')}, learning rate {_each(plan, 'lr')}",
        *(() if sgd else ("fewer epochs are enough", "faster convergence")),
    )  # fmt: skip
    constant = all(r.schedule == "constant" for r in recipes)
    augmented = any(r.flip or r.shift or r.jitter for r in recipes)
    yield Departure(
        "schedule and augmentation", "4.3", "none is mentioned",
        SAME if constant and not augmented else f"{_each(plan, 'schedule')} schedule; pictures "
        + ("changed at random" if augmented else "as they are"),
        *(() if constant and not augmented else (
            "chosen on other data, with the same budget for each network",
            "less overfitting",
        )),
    )  # fmt: skip
    thesis = {model: (recipe.epochs, recipe.batch_size) for model, recipe in _models(plan)}
    same = thesis == _THESIS_MODELS
    yield Departure(
        "epochs and batch size", "4.1, 5.1.3",
        "VGG11: 190 epochs, batches of 20; ResNet152: 100 epochs, batches of 50",
        SAME + " at most" if same
        else f"{_each(plan, 'epochs')} epochs, batches of {_each(plan, 'batch_size')}",
        "the rule below may end a training sooner" if same else "the study has to end in time",
        "none, if the rule sees convergence" if same else "some networks may still be learning",
    )  # fmt: skip
    rules = {
        "converged": f"when the mean training error of {recipes[0].window} epochs is less than "
        f"{100 * recipes[0].min_gain:.0f} % below that of the {recipes[0].window} before, at "
        f"the earliest after {2 * recipes[0].window}",
        "early": f"when the validation loss is {recipes[0].patience} epochs old",
        "epochs": "after all epochs",
    }
    yield Departure(
        "when a training stops", "3.2.4", "by eye, when the training error has converged",
        rules[recipes[0].stop], "a rule that a computer can follow",
        "it may stop where a person would have gone on",
    )  # fmt: skip
    yield Departure(
        "which epoch is kept", "", NOT_SAID,
        "that with the smallest loss, of the kind that is trained, on inner validation subjects",
        "a choice that never looks at the test part", "less overfitting",
    )  # fmt: skip
    yield Departure(
        "subjects that are trained on", "4.1", "four of five folds",
        "four fifths of the subjects outside the test fold; the others are for inner validation",
        "the epoch has to be chosen by somebody who is neither trained on nor tested",
        "less to learn from",
    )  # fmt: skip
    yield Departure(
        "epochs in the laboratory", "5.1.3", NOT_SAID, "as many at most as in the wild",
        "the thesis gives one number for each network", "unknown",
    )  # fmt: skip
    yield Departure(
        "precision", "", NOT_SAID,
        "16 bits (bfloat16) where the processor computes with them, else 32",
        "twice as fast", "within what another seed changes",
    )  # fmt: skip


def _evaluation(plan: Plan) -> Iterator[Departure]:
    yield Departure(
        "folds", "4.1", "five; whether by subject is not said", f"{plan.folds}, by subject",
        "a network must not be tested on people it has learned",
        "lower figures than with frames or clips dealt out, which notebook 04 measures",
    )  # fmt: skip
    yield Departure(
        "trainings in the laboratory", "5.1.1", "the best of the folds that were trained",
        f"all {plan.folds} folds, and their mean", "the best of several is too good by chance",
        "lower figures",
    )  # fmt: skip
    yield Departure(
        "predictions outside the scale", "", NOT_SAID, "set to its ends",
        "no label lies there", "slightly smaller errors",
    )  # fmt: skip
    yield Departure(
        "uncertainty", "", "none", "95 % intervals over subjects, and over seeds where there are "
        f"several (here {len(plan.weight_seeds)})", "a difference without one says nothing",
        "fewer verdicts",
    )  # fmt: skip
    clips = [(name, recipe) for name, recipe in plan.finetuned if backbone_of(name)]
    for name, recipe in clips:
        yield Departure(
            "AffWildNet", "2.1, 5.1.1", "figures quoted from [17], where Aff-Wild came first",
            f"a network of its kind ({NETWORK_NAMES[name]}), trained on this corpus alone from "
            f"{recipe.start_in_words}, {recipe.sequence} frames in a row, loss {recipe.loss}",
            "Aff-Wild is another licensed corpus; [17]'s optimizer and loss are not quoted",
            "lower figures than [17]'s",
        )  # fmt: skip
    if plan.classical:
        yield Departure(
            "methods of [7]", "2.1, 5.1.1", "figures quoted from [7], each of its best method",
            f"methods of these kinds, fitted on the same folds, on at most {MOST_ROWS} frames each",
            "kernels and forests take too long on all frames",
            "networks have more to learn from than they",
        )  # fmt: skip
