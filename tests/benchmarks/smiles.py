"""`python -m vaaffect bench smiles`: what makes networks trained on drawings read real smiles?

Photographs of real people (VAAFFECT_PEOPLE) are the only people that this study has. They are used
as a compass for the simulator and for recipes: each experiment changes one thing, with a prediction
that was written down before it was run. The networks are the profile's, trained on the wild
development world (DEVELOPMENT_SEED), five folds by subject. A change is kept if it helps both on
photographs and on the drawn test folds.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from vaaffect.base import UserError, runs_folder, write_atomically
from vaaffect.corpora import DIMENSIONS
from vaaffect.live import load_people
from vaaffect.live.people import measure
from vaaffect.report.smile_report import PEOPLE_VARIABLE, network_name
from vaaffect.results import Bootstrap, evaluate, read_predictions, smile_effects
from vaaffect.training import How, Plan, Training, train_all

from .calibration import parameters_of

NAME = "smiles"  # of the folder of trainings

# The wild world before it was made as hard as AFEW-VA: the face nearly tells the label.
_BEFORE: dict[str, Any] = {"clips": 280, "subjects": 140, "frames": [2, 4], "frame_step": 10,
                           "difficulty": 0.3}  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """A change of the demo, and what was expected of it."""

    name: str
    expected: str  # before it was run
    changes: Mapping[str, Any]  # parameters; within a dict, single keys
    seeds: int = 1  # how many of WEIGHT_SEEDS


EXPERIMENTS = (
    Experiment("the demo's recipe", "", {}, 3),
    Experiment("before calibration", "more smiles are read: faces show their labels plainly",
               {"WILD": _BEFORE}, 3),
    Experiment("pictures of 64 pixels", "more smiles are read, lips and folds are larger",
               {"SIZE": 64}),
    Experiment("stronger augmentation", "more smiles are read: light and framing differ most "
               "between drawings and photographs", {"RECIPE": {"jitter": 0.4, "shift": 0.1}}),
    Experiment("twice the epochs", "no change: the validation error has nearly levelled off",
               {"EPOCHS": 50}),
)  # fmt: skip


def bench_smiles(
    out: Path, profile: str | None = None, changes: Sequence[str] = ()
) -> Iterable[str]:
    """Run the EXPERIMENTS with a profile's networks; lines to print.

    Writes experiments.csv and experiments.md into the folder `out`: experiment, expected, network,
    trainings, people, proportion of people whose smile gets the higher valence (higher, low, high),
    PCC of valence and arousal on the drawn test folds. UserError: no VAAFFECT_PEOPLE.
    """
    folder = os.environ.get(PEOPLE_VARIABLE)
    if not folder:
        raise UserError(f"{PEOPLE_VARIABLE} is not set; set it to a folder of photographs.")
    pairs, parameters = load_people(Path(folder)), parameters_of(profile or "demo", changes)
    rows: list[dict] = []
    for experiment in EXPERIMENTS:
        runs = train_all(trainings(experiment, parameters), runs_folder(NAME),
                         How.of_this_machine())  # fmt: skip
        measured = measure(pairs, runs)
        effects = smile_effects(measured.predictions, measured.pairs.people)
        everybody = effects[(effects["trait"] == "everybody")
                            & (effects["measure"] == "valence higher")]  # fmt: skip
        results = evaluate(read_predictions(runs), 1, names=("PCC",), bootstrap=Bootstrap(0))
        means = results[results["fold"] == "mean"]
        for row in everybody.to_dict("records"):
            own = means[(means["model"] == row["model"]) & (means["recipe"] == row["recipe"])]
            if own.empty:  # the constant
                continue
            pcc = {f"PCC {d}": own.loc[own["dimension"] == d, "value"].item() for d in DIMENSIONS}
            names = {"experiment": experiment.name, "expected": experiment.expected,
                     "network": network_name(row)}  # fmt: skip
            sizes = {name: row[name] for name in ("trainings", "people")}
            shares = {"higher": row["value"], "low": row["low"], "high": row["high"]}
            rows.append(names | sizes | shares | pcc)
            yield _line(rows[-1])
    table = pd.DataFrame(rows)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "experiments.csv", table.to_csv(index=False))
    write_atomically(out / "experiments.md", "\n".join(_markdown(table)) + "\n")


def trainings(experiment: Experiment, parameters: Mapping[str, Any]) -> list[Training]:
    """The models of an experiment on every fold of the wild, whose weights are all kept; of the
    demo's recipe and of the world before it, the twins from random weights too."""
    given = dict(parameters)
    for name, value in experiment.changes.items():
        whole = name == "WILD" or not isinstance(value, Mapping)
        given[name] = value if whole else {**given[name], **value}
    given["WILD"] = {**given["WILD"], "seed": parameters["DEVELOPMENT_SEED"]}
    given |= {"BASELINES": [], "KEEP_MODELS": "all", "PROFILE": NAME,
              "WEIGHT_SEEDS": parameters["WEIGHT_SEEDS"][: experiment.seeds]}  # fmt: skip
    plan = Plan.from_parameters(given)
    chosen = plan.trainings("wild", scratch=experiment.seeds > 1)
    return [replace(training, other_corpora=()) for training in chosen]


def _line(row: Mapping[str, Any]) -> str:
    share = f"{row['higher']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    pcc = " / ".join(f"{row[f'PCC {d}']:.2f}" for d in DIMENSIONS)
    return f"{row['experiment']:24s} {row['network']:28s} {share}   PCC {pcc}"


def _markdown(table: pd.DataFrame) -> Iterable[str]:
    heads = ["experiment", "expected", "network", "trainings", "people",
             "valence higher for the smile (proportion)", "PCC valence", "PCC arousal"]  # fmt: skip
    yield (
        "Networks trained on drawings (the wild development world), on photographs of real people "
        "(posed smiles beside the same person's neutral face: the sign of valence only) and on the "
        "drawn test folds [95 % interval over people and trainings]."
    )
    yield ""
    yield "| " + " | ".join(heads) + " |"
    yield "|---|---|---|" + "---:|" * 2 + "---|" + "---:|" * 2
    for row in table.to_dict("records"):
        cells = [row["experiment"], row["expected"] or "–", row["network"]]
        cells += [str(row["trainings"]), str(row["people"])]
        cells.append(f"{row['higher']:.2f} [{row['low']:.2f}, {row['high']:.2f}]")
        cells += [f"{row[f'PCC {d}']:.2f}" for d in DIMENSIONS]
        yield "| " + " | ".join(cells) + " |"
