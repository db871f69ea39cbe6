"""What a study has written, read again: tables, figures, and what the manifest says of the run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..base import UserError, report_folder
from ..base import provenance as manifest
from ..corpora import DIMENSIONS
from ..training import NETWORK_NAMES, Recipe
from . import tables


@dataclass(frozen=True)
class Record:
    """A report folder.

    Attributes:
        folder: with `tables/`, `figures/` and `manifest.json`.
        manifest: what the runner noted; empty where the notebooks were run by hand.
    """

    folder: Path
    manifest: dict[str, Any]

    def path(self, name: str, kind: str = "tables", ending: str = "csv") -> Path:
        """Where a table or a figure is.

        Raises:
            UserError: the notebook that writes it has not been run.
        """
        path = self.folder / kind / f"{name}.{ending}"
        if not path.exists():
            raise UserError(f"{path}: is missing; run notebook {name[:2]} of this study first.")
        return path

    def has(self, name: str) -> bool:
        """Whether there is such a table; some profiles leave some out."""
        return (self.folder / "tables" / f"{name}.csv").exists()

    def table(self, name: str) -> pd.DataFrame:
        """A table, as the notebook `name[:2]` wrote it."""
        return pd.read_csv(self.path(name))

    def caption(self, name: str) -> str:
        """What the notebook says above a table."""
        return self.path(name, ending="md").read_text(encoding="utf-8").split("\n\n")[0]

    def parameters(self, number: str = "04") -> dict[str, Any]:
        """What a notebook was given; empty where that was not noted."""
        return self.manifest.get("notebooks", {}).get(number, {}).get("parameters", {})

    @property
    def wild(self) -> str:
        """Label of the corpus in the wild."""
        return str(self.table("04_five_folds")["data"].iloc[0])

    @property
    def lab(self) -> str:
        """Label of the corpus of the laboratory."""
        labels = self.table("01_corpora")["data"]
        return str(labels[labels != self.wild].iloc[0])

    @property
    def simulated(self) -> bool:
        """Whether the faces are drawn."""
        return self.wild.endswith("(simulated)")

    def networks(self) -> list[str]:
        """The study's networks, as tables call them: finetuned, and compared with the constant."""
        return list(dict.fromkeys(self.table("04_against_constant")["model"]))

    def headline(self, model: str, dimension: str, metric: str) -> str:
        """`mean [low, high]` of a model on the corpus in the wild."""
        rows = self.table("04_headline").set_index("model")
        return str(rows.loc[model, f"{dimension} {metric}"])

    def recipes(self) -> pd.DataFrame:
        """How each network was trained: a row per setting, a column per network; may be empty."""
        given = self.parameters()
        if not given:
            return pd.DataFrame()
        columns = {}
        rivals = [name for name in given["BASELINES"] if name in NETWORK_NAMES]
        for model in [*given["MODELS"], *rivals]:
            own = {"epochs": given["EPOCHS"]} | given["PER_MODEL"].get(model, {})
            recipe = Recipe(**(given["RECIPE"] | own))
            columns[NETWORK_NAMES[model]] = {
                "starts from": {"none": "random weights", "imagenet": "ImageNet's weights",
                                "pretext": "the pretext task"}[recipe.weights],
                "loss": {"mse": "squared error", "ccc": "1 − CCC",
                         "mse+ccc": "squared error + 1 − CCC"}[recipe.loss],
                "optimizer": {"sgd": "SGD", "adamw": "AdamW"}[recipe.optimizer],
                "largest learning rate": f"{recipe.lr:g}",
                "schedule": recipe.schedule,
                "frames read in a row": recipe.sequence,
                "batch size (of such)": recipe.batch_size,
                "epochs at most": recipe.epochs,
                "mirrored at random": "yes" if recipe.flip else "no",
                "shifted at random (share of the side)": f"{recipe.shift:g}",
                "brightness and contrast at random (share)": f"{recipe.jitter:g}",
            }  # fmt: skip
        return pd.DataFrame(columns).rename_axis("setting").reset_index()


def read_record(out: str) -> Record:
    """The record of a notebook's OUT.

    Raises:
        UserError: there is no such folder.
    """
    folder = report_folder(out)
    if not folder.is_dir():
        raise UserError(f"{folder}: is not there; run the study that writes it first.")
    return Record(folder, manifest.read_study_manifest(folder / "manifest.json"))


def in_words(text: str) -> str:
    """Names of models in a sentence of a table as people write them, and real minus signs."""
    for name in sorted(NETWORK_NAMES | tables.DISPLAY, key=len, reverse=True):
        text = text.replace(name, tables.model_name(name))
    return text.replace(" - ", " − ")


def both(cells: dict[str, str]) -> str:
    """`a for valence and b for arousal`."""
    return " and ".join(f"{cells[dimension]} for {dimension}" for dimension in DIMENSIONS)


def listed(words: list[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
