"""Every figure's look: one style, one colour per thing, axes with units.

Functions draw on the axes `ax`; they never show or save. Labels and predictions are in [-1, 1].
Colours are from Okabe & Ito (2008), which people with colour-blindness can tell apart.
"""

import itertools
from pathlib import Path
from typing import Literal

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ..base import report_folder, stage
from ..corpora import CORPUS_NAMES, DIMENSIONS
from ..results import error_analysis
from ..simulator import EMOTIONS
from .tables import UNIT, estimate, format_number, model_name, row_name

COLOURS = {"valence": "#0072B2", "arousal": "#D55E00"}
READING = "#882255"  # a live prediction of a model that has no colour; Tol's wine, else unused
GREY = "#7f7f7f"
_FAMILIES = {"vgg": "#009E73", "resnet": "#CC79A7", "affwildnet": "#332288"}
_CORPORA = {CORPUS_NAMES["afew-va"]: "#E69F00", CORPUS_NAMES["semaine"]: "#56B4E9"}
EDGES = np.linspace(-1.05, 1.05, 22)  # of bins of labels; AFEW-VA's integers have one each
MAX_POINTS = 2000  # more would only be ink
DRAWN = "drawn"  # the `faces` of a picture that the simulator drew for the notebook itself
_FACES, _OUTLINES = "faces of a corpus", "outlines"  # how pictures of a corpus are marked
_CONTENT = "Content"  # of a figure's file: whether there are faces of a corpus in it
_LINES = (0, 17, 22, 27, 31, 36, 42, 48, 60, 68)  # where the lines of 68 landmarks begin


def use_style() -> None:
    """Set the look of all figures of a notebook, whatever settings of matplotlib the user has; call
    it once, at its beginning."""
    plt.style.use("default")
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind")
    plt.rcParams |= {
        "figure.figsize": (7.5, 4.5), "figure.dpi": 100, "savefig.dpi": 150,
        "figure.constrained_layout.use": True, "axes.titlesize": "medium",
        "figure.titlesize": "medium", "figure.labelsize": "medium", "axes.spines.top": False,
        "axes.spines.right": False, "grid.alpha": 0.5, "legend.frameon": False,
    }  # fmt: skip
    if "inline" in plt.get_backend():
        # At a cell's end pyplot would draw each figure, and then the backend draws it to show it.
        plt.switch_backend(plt.get_backend())  # else the first figure does, and restores the hook
        plt.uninstall_repl_displayhook()


@stage("figures saved")
def save_figure(figure: Figure, out: str, name: str) -> Path:
    """Write OUT/figures/NAME.png, with the figure's `alt_text` as the file's description; the name
    begins with the notebook's number."""
    path = report_folder(out) / "figures" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"Software": None, "Description": alt_text(figure)}
    marks = {artist.get_gid() for artist in figure.findobj()}
    if content := marks & {_FACES, _OUTLINES}:
        metadata[_CONTENT] = min(content)  # faces, where there are both
    figure.savefig(path, bbox_inches="tight", metadata=metadata)
    return path


def shows_faces(path: Path) -> bool:
    """Whether a figure that `save_figure` wrote has faces of a corpus in it."""
    with Image.open(path) as file:
        return file.info.get(_CONTENT) == _FACES


def alt_text(figure: Figure) -> str:
    """What stands on a figure: its title, then of each panel the title and what the axes are."""
    title = figure.get_suptitle().replace("\n", " ")
    panels = []
    for ax in figure.axes:
        axes = " against ".join(filter(None, (ax.get_ylabel(), ax.get_xlabel())))
        panels.append(": ".join(filter(None, (ax.get_title(), axes))).replace("\n", " "))
    shared = " against ".join(filter(None, (figure.get_supylabel(), figure.get_supxlabel())))
    return ". ".join(dict.fromkeys(filter(None, (title, shared, *panels))))


def model_colour(model: str, other: str = GREY) -> str:
    """The colour of a model's family; `other`, grey, for the constant baseline and the like."""
    return next((c for family, c in _FAMILIES.items() if model.startswith(family)), other)


def data_colour(label: str) -> str:
    """The colour of a corpus, from the label that tables name it by."""
    return next((c for name, c in _CORPORA.items() if label.startswith(name)), GREY)


def plane(ax: Axes, emotions: bool = True) -> Axes:
    """An empty valence-arousal plane: equal axes in [-1, 1] and the unit circle; with `emotions`,
    the places of named emotions are marked (figure 1.3 of the thesis). Returns `ax`."""
    ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
    ax.set(xlabel="valence (unpleasant to pleasant)", ylabel="arousal (calm to excited)")
    ax.grid(False)
    ax.axhline(0, color="0.8", lw=1, zorder=0)
    ax.axvline(0, color="0.8", lw=1, zorder=0)
    ax.add_patch(plt.Circle((0, 0), 1, fill=False, color="0.8", lw=1, zorder=0))
    if emotions:
        for name, (valence, arousal) in EMOTIONS.items():
            ax.plot(valence, arousal, "o", ms=4, color="0.3", zorder=3)
            ax.annotate(
                name, (valence, arousal), (0, 5), textcoords="offset points",
                ha="center", fontsize="small", color="0.2", zorder=4,
            )  # fmt: skip
    return ax


def picture(
    ax: Axes,
    image: np.ndarray,
    landmarks: np.ndarray | None = None,
    *,
    faces: bool | Literal["drawn"],
    **look: object,
) -> None:
    """Show a picture (H, W, 3, uint8 RGB) on axes. Notebooks that read a corpus show every picture
    with this function.

    `faces` is the notebook's parameter SHOW_FACES: where it is False, the outline of the landmarks
    (68, 2), in pixels of the picture, stands on grey in the picture's place. DRAWN is for pictures
    that are of no corpus. `look` goes to `Axes.imshow`.
    """
    shown = image if faces else outline(image.shape[:2], landmarks)
    mark = None if faces == DRAWN else _FACES if faces else _OUTLINES
    ax.imshow(shown, **look).set_gid(mark)


def outline(shape: tuple[int, int], landmarks: np.ndarray | None) -> np.ndarray:
    """Landmarks (68, 2) as lines on grey, (H, W, 3) uint8 of `shape` (H, W)."""
    canvas = np.full((*shape, 3), 225, np.uint8)
    if landmarks is not None:
        lines = [np.int32(np.round(landmarks[a:b])) for a, b in itertools.pairwise(_LINES)]
        width = max(1, round(np.ptp(landmarks, axis=0).max() / 100))
        cv2.polylines(canvas, lines, False, (120, 120, 120), width, cv2.LINE_AA)
    return canvas


def faces_on_plane(
    images: np.ndarray, va: np.ndarray, ax: Axes, cells: int,
    landmarks: np.ndarray | None = None, *, faces: bool | Literal["drawn"],
) -> None:  # fmt: skip
    """A contact sheet: of the crops (N, S, S, 3, uint8) one in each of `cells` by `cells` cells of
    the plane, where its label in va (N, 2) is; cells without a face stay empty. Landmarks
    (N, 68, 2) and `faces` as of `picture`."""
    plane(ax, emotions=False)
    rng = np.random.default_rng(0)  # chooses among the faces of a cell
    cell, width = error_analysis.cell_of(va, cells), 2 / cells
    pad = 0.03 * width
    for place in np.unique(cell, axis=0):
        inside = np.flatnonzero((cell == place).all(axis=1))
        left, bottom = -1 + place * width
        extent = (left + pad, left + width - pad, bottom + pad, bottom + width - pad)
        row, look = rng.choice(inside), {"extent": extent, "interpolation": "bilinear"}
        points = None if landmarks is None else landmarks[row]
        picture(ax, images[row], points, faces=faces, zorder=2, **look)
    ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")


def label_density(va: np.ndarray, ax: Axes) -> None:
    """How many of the frames with labels va (N, 2) each cell of the plane holds, on a logarithmic
    colour scale."""
    plane(ax, emotions=False)
    *_, mesh = ax.hist2d(*va.T, bins=(EDGES, EDGES), norm="log", cmap="cividis", zorder=1)
    ax.figure.colorbar(mesh, ax=ax, label="frames", shrink=0.85)


def label_histogram(values: np.ndarray, dimension: str, ax: Axes) -> None:
    """Histogram of one dimension's labels (N,), in percent of all frames."""
    weights = np.full(len(values), 100 / len(values))
    ax.hist(values, bins=EDGES, weights=weights, color=COLOURS[dimension], edgecolor="white")
    mean = values.mean()
    ax.axvline(mean, color="black", ls="--", lw=1, label=f"mean {format_number(mean)}")
    ax.set(xlabel=f"{dimension} label", ylabel="share of frames (%)", xlim=(-1.05, 1.05))
    ax.set_xticks(np.linspace(-1, 1, 5))
    ax.grid(False, axis="x")
    ax.legend()


def learning_curves(histories: dict[str, pd.DataFrame], ax: Axes, constant: float) -> None:
    """Training and inner-validation error by epoch: model name -> its history (epoch, train_mse,
    val_mse), and the mean squared error of the constant baseline as a reference line."""
    for model, history in histories.items():
        name, line = model_name(model), {"color": model_colour(model), "marker": "o", "ms": 4}
        ax.plot(history["epoch"], history["train_mse"], ls=":", label=f"{name}, training", **line)
        ax.plot(history["epoch"], history["val_mse"], label=f"{name}, validation", **line)
    ax.axhline(constant, color=GREY, ls="--", lw=1, label="constant predictor, validation")
    ax.set(xlabel="epoch", ylabel="mean squared error (labels in [−1, 1])", ylim=(0, None))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(fontsize="small")


def predicted_against_true(predictions: pd.DataFrame, dimension: str, ax: Axes) -> None:
    """Of one model, a point per test frame with sideways jitter (at most MAX_POINTS, drawn at
    random), the line of perfect agreement, and the mean prediction per label."""
    shown = predictions.sample(min(len(predictions), MAX_POINTS), random_state=0)
    true, pred = shown[f"{dimension}_true"], shown[f"{dimension}_pred"]
    jitter = np.random.default_rng(0).uniform(-0.02, 0.02, len(shown))
    colour = COLOURS[dimension]
    ax.plot([-1, 1], [-1, 1], color="0.6", lw=1, label="perfect")
    ax.scatter(true + jitter, pred, s=5, alpha=0.25, color=colour, linewidths=0, rasterized=True)
    every = predictions.groupby(predictions[f"{dimension}_true"].round(1))[f"{dimension}_pred"]
    means = every.mean()[every.size() >= 5]
    ax.plot(means.index, means, color="black", lw=1.5, label="mean prediction")
    ax.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
    ax.set(xlabel=f"{dimension}, true", ylabel=f"{dimension}, predicted")
    ax.legend(loc="upper left", fontsize="small")


def fold_spread(results: pd.DataFrame, metric: str, axs: np.ndarray) -> None:
    """One metric of every model: a dot per fold and seed, the mean with its interval beside them.

    `results` is as of `evaluation.evaluate`, the metric one of its metrics (RMSE on the [-1, 1]
    scale); `axs` are two axes, for valence and arousal.
    """
    results = results[(results["metric"] == metric) & (results["scale"] == UNIT)]
    for ax, dimension in zip(axs, DIMENSIONS, strict=True):
        models = results[results["dimension"] == dimension].groupby(["model", "recipe"], sort=False)
        for y, ((model, _), rows) in enumerate(models):
            (mean,) = rows[rows["fold"] == "mean"].to_dict("records")  # of all seeds
            folds = rows[rows["fold"] != "mean"]["value"]
            if not np.isfinite(mean["value"]):
                beside = ax.get_yaxis_transform()  # x in shares of the axis, y in data
                ax.text(0.02, y, "undefined", color=GREY, va="center", transform=beside)
                continue
            colour = model_colour(model)
            offsets = np.linspace(-0.12, 0.12, len(folds))
            ax.scatter(folds, y + offsets, s=18, color=colour, alpha=0.5, linewidths=0)
            ax.plot([mean["low"], mean["high"]], [y, y], color=colour, lw=2.5, zorder=3)
            ax.plot(mean["value"], y, "D", ms=8, color=colour, mec="white", zorder=4)
        names = [row_name(*key) for key, _ in models]
        ax.set(yticks=range(len(models)), yticklabels=names, ylim=(len(models) - 0.5, -0.5))
        unit = " (labels in [−1, 1])" if metric == "RMSE" else ""
        ax.set(xlabel=f"{metric} of {dimension}{unit}", title=dimension)
        ax.xaxis.set_major_locator(plt.MaxNLocator(5))
        ax.grid(False, axis="y")


def forest(differences: pd.DataFrame, dimension: str, ax: Axes) -> None:
    """A row per recipe: what it adds to the one it is compared with, and how sure that is.

    `differences` are of one metric and dimension, as of `results.differences`, with the wider
    bounds low_all and high_all, which hold for all comparisons at once.
    """
    rows, colour = np.arange(len(differences)), COLOURS[dimension]
    ax.axvline(0, color="black", lw=1, zorder=1)
    ax.hlines(rows, differences["low_all"], differences["high_all"], color=colour, lw=1)
    ax.hlines(rows, differences["low"], differences["high"], color=colour, lw=3.5)
    ax.plot(differences["difference"], rows, "|", ms=9, mew=2, color="black", zorder=4)
    ax.set_yticks(rows, differences["recipe"])
    ax.set(ylim=(len(rows) - 0.5, -0.5), title=dimension)
    ax.grid(False, axis="y")


def training_size(curve: pd.DataFrame, dimension: str, ax: Axes) -> None:
    """CCC in one dimension by the number of training subjects, a line per network; bars are 95 %
    intervals. `curve` has the columns model, dimension, subjects, CCC, low, high."""
    rows = curve[curve["dimension"] == dimension]
    for number, model in enumerate(dict.fromkeys(rows["model"])):
        line = rows[rows["model"] == model].sort_values("subjects")
        x = line["subjects"] * (1 + 0.02 * number)  # beside each other
        bars = np.abs(line[["low", "high"]].to_numpy().T - line["CCC"].to_numpy())
        ax.errorbar(x, line["CCC"], bars, fmt="-" + "osD^"[number % 4], ms=7, capsize=3,
                    color=model_colour(model), label=model_name(model))  # fmt: skip
    ax.set(xlabel="training subjects (mean of the folds)", ylabel="CCC", title=dimension)
    ax.legend(fontsize="small")


def prediction_lines(va: np.ndarray, predictions: np.ndarray, ax: Axes, colour: str) -> None:
    """A line for each single face, from its true point in va (N, 2) to the prediction (N, 2)."""
    plane(ax, emotions=False)
    ax.plot(*va.T, "o", ms=4, color="0.2", ls="none", label="drawn")
    look = {"ms": 5, "color": colour, "mec": "white", "ls": "none", "zorder": 4}
    ax.plot(*predictions.T, "D", label="predicted", **look)
    for start, end in zip(va, predictions, strict=True):
        ax.plot(*np.stack([start, end]).T, color=colour, lw=1, alpha=0.7, zorder=3)
    ax.legend(loc="lower right", fontsize="small")


def transfer_matrix(
    summary: pd.DataFrame, model: str, dimension: str, metric: str, ax: Axes
) -> None:
    """A cell per pair of corpora, trained on (row) and tested on (column), with its interval.

    `summary` is as of `evaluation.fold_summary`, of several training and test corpora; the metric
    is one that lies in [-1, 1].
    """
    cells = summary.query(
        "model == @model and dimension == @dimension and metric == @metric and scale == @UNIT"
    ).set_index(["train_corpus", "test_corpus"])
    corpora = list(dict.fromkeys(cells.index.get_level_values(0)))
    values = cells["mean"].unstack().reindex(index=corpora, columns=corpora)
    ax.imshow(values.clip(0, 1), cmap="cividis", vmin=0, vmax=1)
    for i, train in enumerate(corpora):
        for j, test in enumerate(corpora):
            cell = estimate(cells.loc[(train, test)])
            ax.text(j, i, f"{cell.centre}\n{cell.interval}", ha="center", va="center",
                    color="white" if cell.value < 0.5 else "black")  # fmt: skip
    lines = [name.replace(" (", "\n(") for name in corpora]
    ax.set_xticks(range(len(corpora)), lines, fontsize="small")
    ax.set_yticks(range(len(corpora)), lines, fontsize="small")
    ax.set(xlabel="tested on", ylabel="trained on")
    ax.set_title(f"{model_name(model)}, {dimension} {metric}", fontsize="small")
    ax.grid(False)


def leak_price(price: pd.DataFrame, ax: Axes) -> None:
    """CCC of each model by what its folds are disjoint in, a mark per kind of fold; a row of
    `price` per model, with the columns model, subject, clip and frame."""
    rows = np.arange(len(price))
    kinds = (("subject", "o", "black"), ("clip", "D", "#E69F00"), ("frame", "X", "#D55E00"))
    ccc = price[[kind for kind, *_ in kinds]]
    ax.hlines(rows, ccc.min(axis=1), ccc.max(axis=1), color="0.8", zorder=1)
    for kind, marker, colour in kinds:
        ax.scatter(price[kind], rows, marker=marker, color=colour, s=45, zorder=2,
                   label=f"by {kind}" + (" (honest)" if kind == "subject" else ""))  # fmt: skip
    ax.set_yticks(rows, price["model"])
    ax.set(xlabel="CCC", xlim=(min(0, ax.get_xlim()[0]), 1))
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    ax.legend(title="folds", fontsize="x-small", title_fontsize="x-small", ncols=3,
              loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)  # fmt: skip
