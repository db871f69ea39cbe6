"""What a study has written, read again: tidy tables, captions, figures, and the run's manifest."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..base import UserError, provenance, report_folder
from ..classical import CEILING, CONSTANT
from ..results import fold_summary
from ..training import NETWORK_NAMES, Plan, Recipe, weights_label
from . import tables


@dataclass(frozen=True)
class Record:
    """A report folder."""

    folder: Path  # with `tables/`, `figures/` and `manifest.json`
    manifest: dict[str, Any]  # what the runner noted; empty where the notebooks were run by hand

    def path(self, name: str, kind: str = "tables", ending: str = "csv") -> Path:
        """Where a table or a figure is; UserError where its notebook has not been run."""
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

    def summary(self, number: str) -> pd.DataFrame:
        """Mean and interval over the folds of all results of a notebook, see `fold_summary`."""
        return fold_summary(self.table(f"{number}_results"))

    def parameters(self, number: str = "04") -> dict[str, Any]:
        """What a notebook was given; empty where that was not noted."""
        return self.manifest.get("notebooks", {}).get(number, {}).get("parameters", {})

    @property
    def wild(self) -> str:
        """Label of the corpus in the wild."""
        return str(self.table("04_results")["test_corpus"].iloc[0])

    @property
    def lab(self) -> str:
        """Label of the corpus of the laboratory."""
        labels = self.table("01_corpora")["data"]
        return str(labels[labels != self.wild].iloc[0])

    @property
    def simulated(self) -> bool:
        """Whether the faces are drawn."""
        return self.wild.endswith("(simulated)")

    @property
    def exact_landmarks(self) -> bool:
        """Whether landmarks of the corpus in the wild are the drawn ones. Where simulated landmarks
        are found, notebook 04 has a row on exact ones."""
        return self.simulated and CEILING not in set(self.table("04_results")["model"])

    def networks(self) -> list[str]:
        """The study's networks, as tables call them: finetuned, and compared with the constant."""
        return list(dict.fromkeys(self.table("04_against_constant")["model"]))

    def headline(self) -> pd.DataFrame:
        """Every model on the corpus in the wild, see `tables.headline`; the index is its name."""
        return tables.headline(self.summary("04")).set_index("model", drop=False)

    def transfer(self) -> pd.DataFrame:
        """The networks and the constant on both corpora, see `tables.transfer_table`."""
        summary = self.summary("05")
        names = summary[["model", "recipe"]].agg(lambda row: tables.row_name(*row), axis=1)
        shown = [*self.networks(), tables.model_name(CONSTANT)]
        return tables.transfer_table(summary[names.isin(shown)])

    def network_gaps(self) -> pd.DataFrame:
        """Differences between groups, see `subgroups.between_groups`, of the networks alone."""
        gaps = self.table("04_group_gaps")
        return gaps[gaps["model"].isin(self.networks())]

    def claims(self) -> pd.DataFrame:
        """All verdicts, in the order of the claims."""
        parts = [self.table("05_claims"), self.table("06_claim")]
        return pd.concat(parts).sort_values("claim", kind="stable", ignore_index=True)

    def statements(self) -> pd.DataFrame:
        """The thesis's other statements, see `statements.Statement`, in the order of its sections;
        empty where no notebook has them."""
        names = [name for name in ("05_statements", "07_statements") if self.has(name)]
        if not names:
            return pd.DataFrame()
        sections = {"section": str}  # else 5.1 is a number
        table = pd.concat([pd.read_csv(self.path(name), dtype=sections) for name in names])
        return table.sort_values("section", kind="stable", ignore_index=True)

    def recipes(self) -> pd.DataFrame:
        """How each network was trained: a row per setting, a column per network; may be empty."""
        parameters = self.parameters()
        if not parameters:
            return pd.DataFrame()
        recipes = Plan.from_parameters({"PROFILE": ""} | parameters).finetuned
        columns = {
            NETWORK_NAMES[model]: {"starts from": self._start(model, recipe), **_in_words(recipe)}
            for model, recipe in recipes
        }
        return pd.DataFrame(columns).rename_axis("setting").reset_index()

    def starts(self) -> dict[str, list[str]]:
        """What the study's networks start from, in words, and which ones; empty where that was not
        noted."""
        recipes = self.recipes()
        if recipes.empty:
            return {}
        row = recipes.set_index("setting").loc["starts from"]
        starts: dict[str, list[str]] = {}
        for network in self.networks():
            if network in row:
                starts.setdefault(row[network], []).append(network)
        return starts

    def _start(self, model: str, recipe: Recipe) -> str:
        """What a network starts from, a file with the beginning of its hash."""
        if recipe.weights_file is None:
            return recipe.start_in_words
        sha256 = self.manifest.get("data", {}).get(weights_label(model, recipe.weights_file))
        return recipe.start_in_words + (f" (SHA-256 {sha256[:12]}…)" if sha256 else "")


def read_record(out: str) -> Record:
    """The record of a notebook's OUT; UserError where there is no such folder."""
    folder = report_folder(out)
    if not folder.is_dir():
        raise UserError(f"{folder}: is not there; run the study that writes it first.")
    return Record(folder, provenance.read_study_manifest(folder / "manifest.json"))


def _in_words(recipe: Recipe) -> dict[str, object]:
    return {
        "loss": {"mse": "squared error", "ccc": "1 − CCC",
                 "mse+ccc": "squared error + 1 − CCC"}[recipe.loss],
        "labels that are learned": {"unit": "[−1, 1]", "native": "as in the files"}[recipe.labels],
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
