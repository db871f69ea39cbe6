"""Figures of where the error is: over the plane, by label, subject and group; style of `plots`."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure

from ..corpora import DIMENSIONS
from .plots import GREY, model_colour, plane
from .tables import model_name


def error_over_plane(errors: pd.DataFrame, ax: Axes) -> None:
    """How large the error is in each cell of the plane, and where predictions are pulled to.

    A cell's colour is its RMSE over both dimensions, from 0 to 0.6; where it has ten frames or
    more, an arrow leads from its centre by its mean error. `errors` are of one model, as of
    `error_analysis.over_plane`.
    """
    plane(ax, emotions=False)
    centres = np.unique(errors[["valence", "arousal"]].round(6))
    width = np.diff(centres).min() if len(centres) > 1 else 2.0
    side = 0.94 * width
    cells = [plt.Rectangle((v - side / 2, a - side / 2), side, side)
             for v, a in zip(errors["valence"], errors["arousal"], strict=True)]  # fmt: skip
    drawn = PatchCollection(cells, cmap="cividis", zorder=1, linewidths=0)
    drawn.set(array=errors["RMSE"].to_numpy(), clim=(0, 0.6))
    ax.add_collection(drawn)
    ax.figure.colorbar(drawn, ax=ax, label="RMSE (labels in [−1, 1])", shrink=0.75, extend="max")
    for row in errors[errors["frames"] >= 10].itertuples():
        end = row.valence + row.error_valence, row.arousal + row.error_arousal
        # White under black: an arrow is legible on every colour.
        for lw, colour in ((3, "white"), (1.3, "black")):
            style = {"arrowstyle": "->", "color": colour, "lw": lw, "shrinkA": 0, "shrinkB": 0}
            ax.annotate("", end, (row.valence, row.arousal), arrowprops=style, zorder=5)


def error_by_density(errors: pd.DataFrame, ax: Axes) -> None:
    """RMSE where labels are common, less common and rare: a line per model; `errors` as of
    `error_analysis.by_density`, of one dimension."""
    for model, rows in errors.groupby("model", sort=False):
        ax.plot(rows["density"], rows["RMSE"], "o", **_line(model))
    ax.set_xlabel("thirds of the frames, by how common their label is")
    ax.grid(False, axis="x")
    _rmse_axis(ax)


def error_by_person(errors: pd.DataFrame, ax: Axes) -> None:
    """RMSE of every subject, smallest first: a line per model; `errors` as of
    `error_analysis.by_subject`, of one dimension."""
    for model, rows in errors.groupby("model", sort=False):
        percent = (np.arange(len(rows)) + 0.5) / len(rows) * 100
        ax.plot(percent, np.sort(rows["RMSE"]), **_line(model))
    ax.set(xlabel="subjects, smallest error first (%)", xlim=(0, 100))
    _rmse_axis(ax)


def _line(model: str) -> dict[str, object]:
    """How a model's line looks: dashed for the constant baseline."""
    colour = model_colour(model)
    return {"color": colour, "ls": "--" if colour == GREY else "-", "label": model_name(model)}


def _rmse_axis(ax: Axes) -> None:
    """An axis of RMSE from 0 to whatever is highest on it and on those that share it; a legend."""
    ax.set_ylabel("RMSE (labels in [−1, 1])")
    ax.autoscale(axis="y")
    ax.set_ylim(bottom=0)
    ax.legend(fontsize="x-small")


def error_by_group(estimates: pd.DataFrame, ax: Axes) -> None:
    """RMSE of every model in each group of one trait, with its interval; `estimates` are of one
    dimension and trait, as of `subgroups.by_group`."""
    estimates = estimates[estimates["metric"] == "RMSE"]
    sizes = estimates.drop_duplicates("group").set_index("group")["subjects"]
    models = list(estimates["model"].unique())
    for model, shift in zip(models, np.linspace(-0.18, 0.18, len(models)), strict=True):
        rows = estimates[estimates["model"] == model]
        bars = np.abs(rows[["low", "high"]].to_numpy().T - rows["value"].to_numpy())
        colour = model_colour(model)
        ax.errorbar(sizes.index.get_indexer(rows["group"]) + shift, rows["value"],
                    np.nan_to_num(bars), fmt="o", capsize=3, color=colour,
                    mfc="none" if colour == GREY else colour, label=model_name(model))  # fmt: skip
    names = [f"{group}\n{count} subjects" for group, count in sizes.items()]
    ax.set_xticks(range(len(names)), names)
    ax.set(xlabel=estimates["trait"].iloc[0], xlim=(-0.5, len(names) - 0.5))
    ax.grid(False, axis="x")


def error_in_all_groups(estimates: pd.DataFrame) -> Figure:
    """A figure with a line of axes per dimension and a column per trait, see `error_by_group`."""
    traits = estimates["trait"].nunique()
    fig, axs = plt.subplots(2, traits, figsize=(3.6 * traits, 6.4), squeeze=False, sharey="row")
    for line, dimension in zip(axs, DIMENSIONS, strict=True):
        by_trait = estimates[estimates["dimension"] == dimension].groupby("trait", sort=False)
        for ax, (_, rows) in zip(line, by_trait, strict=True):
            error_by_group(rows, ax)
        line[0].set_ylabel(f"RMSE of {dimension}")
        line[0].set_ylim(bottom=min(0, line[0].get_ylim()[0]))
    fig.legend(*axs[0, 0].get_legend_handles_labels(), ncols=4, loc="outside lower center")
    title = "Labels in [−1, 1]; bars: 95 % intervals over subjects."
    fig.suptitle(f"{title} {estimates['test_corpus'].iloc[0]}", fontsize="medium")
    return fig
