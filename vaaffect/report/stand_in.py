"""The simulated corpus in the wild beside AFEW-VA: PCC of the same methods on both.

A stand-in is as hard as the real corpus where methods reach about the same correlations on it.
There are two such tables: one was measured beforehand (`python -m vaaffect bench calibration --out
reports/calibration` writes it) with more methods and perhaps several worlds, the other is of a
study's own results.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..base import REPORTS, UserError, shown
from ..corpora import DIMENSIONS, data
from ..results import FROM_SCRATCH
from .literature import published_pcc
from .sentences import from_template, listed
from .tables import UNIT, estimate, format_number, model_name

CALIBRATION = REPORTS / "calibration"
_COMMAND = "python -m vaaffect bench calibration --out reports/calibration"


@dataclass(frozen=True)
class Calibration:
    """What `bench calibration` has measured and written."""

    table: pd.DataFrame  # a row per method, and per whose landmarks and which folds
    world: Mapping[str, Any]  # fields of simulator.WildWorld but the seed
    seeds: tuple[int, ...]  # of the worlds that the figures are means over
    size: int  # side of the crops in pixels


def read_calibration(folder: Path = CALIBRATION) -> Calibration | None:
    """The measured table and its world; None where it has not been measured.

    Raises UserError where one of its two files is damaged or alone.
    """
    files = folder / "calibration.csv", folder / "world.json"
    if not any(file.exists() for file in files):
        return None
    try:
        table = pd.read_csv(files[0])
        table[["landmarks", "published"]] = table[["landmarks", "published"]].fillna("")
        facts = json.loads(files[1].read_text(encoding="utf-8"))
        return Calibration(table, facts["WILD"], tuple(facts["seeds"]), facts["SIZE"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{shown(folder)}: calibration.csv or world.json is missing or damaged; make both anew "
            f"with `{_COMMAND}`."
        ) from error


def calibration_table(calibration: Calibration) -> pd.DataFrame:
    """For people: a row per method on folds by subject, simulated PCC beside published ones.

    Columns: method, landmarks (whose), valence and arousal (PCC; with the SD between worlds where
    there are several), published valence, published arousal, published as, data.
    """
    rows = []
    for row in calibration.table.query("folds == 'subject'").to_dict("records"):
        if not np.isfinite([row[d] for d in DIMENSIONS]).all():  # the constant baseline
            continue
        line = {"method": model_name(row["method"]), "landmarks": row["landmarks"]}
        for dimension in DIMENSIONS:
            line[dimension] = format_number(row[dimension])
            if np.isfinite(row[f"{dimension} SD"]):
                line[dimension] += f" ± {format_number(row[f'{dimension} SD'])}"
        for dimension in DIMENSIONS:
            line[f"published {dimension}"] = row[f"published {dimension}"]
        rows.append(line | {"published as": row["published"], "data": "AFEW-VA (simulated)"})
    return pd.DataFrame(rows)


def calibration_words(calibration: Calibration | None, world: Mapping[str, Any]) -> str:
    """On which world that was measured, and in what the study's own `world`, fields of
    simulator.WildWorld, differs from it, but for the seed; Markdown."""
    facts: dict[str, Any] = {"command": _COMMAND, "calibration": calibration}
    if calibration is not None:
        study, measured = (
            data.world_of("wild", {k: v for k, v in fields.items() if k != "seed"})
            for fields in (world, calibration.world)
        )
        names = [n for n in study.__dataclass_fields__ if getattr(study, n) != getattr(measured, n)]
        facts["differences"] = [
            f"{name} (here {getattr(study, name)}, there {getattr(measured, name)})"
            for name in names
        ]
        seed = data.world_of("wild", dict(world)).seed
        facts |= {"seeds": listed(map(str, calibration.seeds)), "seed": seed,
                  "unseen": seed not in calibration.seeds}  # fmt: skip
    return from_template("calibration", **facts)


def stand_in_table(summary: pd.DataFrame, wild: str) -> pd.DataFrame:
    """A study's own PCC beside published ones, of the methods that both have.

    `summary` is as of `evaluation.fold_summary`, `wild` the label of the corpus in the wild.
    Columns: method, valence and arousal (Estimates), published valence, published arousal,
    published as, source, data; no row where no method of the study has been published.
    """
    chosen = summary[
        (summary["test_corpus"] == wild) & (summary["train_corpus"] == wild)
        & (summary["metric"] == "PCC") & (summary["scale"] == UNIT)
        & ~summary["recipe"].str.endswith(FROM_SCRATCH)
    ]  # fmt: skip
    rows = []
    for model, cells in chosen.groupby("model", sort=False):
        published = published_pcc(model)
        if published is None:
            continue
        by_dimension = cells.drop_duplicates("dimension").set_index("dimension")
        row = {"method": model_name(model)}
        row |= {d: estimate(by_dimension.loc[d]) for d in DIMENSIONS}
        row |= {f"published {d}": getattr(published, d) for d in DIMENSIONS}
        row |= {"published as": published.system, "source": published.source, "data": wild}
        rows.append(row)
    return pd.DataFrame(rows)
