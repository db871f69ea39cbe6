"""The report of `bench train`: a table with every digit, one to read, and a figure."""

import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vaaffect.base.files import write_atomically
from vaaffect.base.paths import ROOT
from vaaffect.report.plots import use_style
from vaaffect.report.tables import model_name, to_markdown
from vaaffect.training.step import autocast_dtype

# Okabe & Ito (2008): ours, the peers, the limit.
_OURS, _PEER, _LIMIT = "#0072B2", "#999999", "#D55E00"
_VERSIONS = ("torch", "torchvision", "timm", "lightning", "numpy", "pillow")


def device_name(device: torch.device) -> str:
    """The processor's model, as its maker calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    if info.exists():
        match = re.search(r"model name\s*:\s*(.+)", info.read_text())
        if match:
            return match[1]
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def circumstances(device: torch.device, rows: pd.DataFrame) -> dict[str, str]:
    """What the numbers depend on, without names of computers or people."""
    extra = [
        name
        for name, supported in (
            ("AVX-512 BF16", torch.cpu._is_avx512_bf16_supported()),
            ("AMX", torch.cpu._is_amx_tile_supported()),
        )
        if supported
    ]
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        ).stdout.strip()
    except OSError:  # no git
        told = ""
    low = autocast_dtype(device) == torch.bfloat16
    return {
        "device": device_name(device),
        "threads": f"{torch.get_num_threads()} ({', '.join(extra) or 'no bfloat16 unit'})",
        "precision": ("bfloat16 is native and used where a loop can" if low else
                      "float32 throughout: this processor does not compute in bfloat16")
        + ("; convolutions in float32 are TF32, as cuDNN has it" * (device.type == "cuda")),
        "versions": ", ".join(f"{name} {_version(name)}" for name in _VERSIONS),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": told or "unknown",
    }  # fmt: skip


def write_report(
    out: Path,
    rows: pd.DataFrame,
    goals: list,
    verdicts: dict,
    device: torch.device,
    seconds: float,
    drift: float,
) -> None:
    """Write train-DEVICE.md, .csv and .png.

    Args:
        out: folder.
        rows: everything measured.
        goals: bench_training.Goal.
        verdicts: bench_training.Verdict by contender.
        device: on which it was measured.
        seconds: how long it took in all.
        drift: largest relative difference between the first and the last ceilings.
    """
    out.mkdir(parents=True, exist_ok=True)
    slug = "cpu"
    if device.type == "cuda":
        slug = re.sub(r"[^a-z0-9]+", "-", device_name(device).lower()).strip("-")
    stem = f"train-{slug}"
    about = circumstances(device, rows)
    kept = rows.assign(**{k: about[k] for k in ("device", "date", "commit")})
    write_atomically(out / f"{stem}.csv", kept.to_csv(index=False, lineterminator="\n"))
    text = _markdown(rows, goals, verdicts, about, stem, seconds, drift)
    write_atomically(out / f"{stem}.md", text)
    matplotlib.use("agg")
    use_style()
    figure = draw(rows)
    figure.savefig(out / f"{stem}.png", metadata={"Software": None})


def _markdown(
    rows: pd.DataFrame,
    goals: list,
    verdicts: dict,
    about: dict[str, str],
    stem: str,
    seconds: float,
    drift: float,
) -> str:
    parts = [
        "# Training speed beside peers and limits",
        "Written by `python -m vaaffect bench train`; nothing is edited by hand. Ratios travel "
        "between machines, images per second do not.",
        "\n".join(f"- {name}: {value}" for name, value in about.items()),
        f"- took {seconds:.0f} s; the ceilings measured first and last differ by at most "
        f"{100 * drift:.0f} %",
        f"![speeds, loaders and how they scale]({stem}.png)",
        "## Goals",
        to_markdown(
            pd.DataFrame(
                {"goal": g.goal, "what": g.what, "measured": float(g.measured),
                 "wanted": f"{'at least' if g.at_least else 'at most'} {g.wanted:g}",
                 "outcome": g.outcome}
                for g in goals
            )
        ),
    ]  # fmt: skip
    kernels = rows[rows["track"] == "kernels"]
    parts += [
        "## One batch in memory",
        "Median of the blocks, their range, and what ours is to each. *Once*: what the first "
        "steps took beyond later ones: compiling, recording, choosing algorithms, and what a loop "
        "sets up around itself. *Of conv ceiling*: counted operations per second, as a share of "
        "the fastest 3 x 3 convolution measured in the same "
        "precision. *Of limit*: share of what arithmetic plus memory traffic allow.",
        to_markdown(
            pd.DataFrame(
                {"network": model_name(r.model), "setting": r.setting, "loop": r.contender,
                 "precision": r.precision, "blocks": r.blocks, "img/s": float(r.value),
                 "range": f"{r.low:.2f} to {r.high:.2f}" if np.isfinite(r.value) else "–",
                 "once (s)": r.once, "ours is (times)": r.ours,
                 "of conv ceiling": r.of_conv, "of limit": r.of_limit,
                 "gate": r.gate}
                for r in kernels.itertuples()
            )
        ),
        "## Gates",
        "Losses of the gate's steps beside the float32 loop's (mean distance as a share of their "
        "mean), and the largest difference of CCC, of a small network on simulated faces. A loop "
        "that fails has no speed.",
        to_markdown(
            pd.DataFrame(
                {"loop": name, "losses": f"{v.loss:.1e}", "CCC": f"{v.ccc:.4f}",
                 "gate": v.fault or "passed"}
                for name, v in verdicts.items()
            )
        ),
    ]  # fmt: skip
    for track, title in (
        ("loaders", "## Loaders alone (simulated frames)"),
        ("fed", "## From the loader into the network"),
        ("ceilings", "## Ceilings"),
        ("scaling", "## How it scales"),
    ):
        track_rows = rows[rows["track"] == track]
        if len(track_rows):
            parts += [title, to_markdown(_plain(track_rows))]
    if len(rows[rows["track"] == "scaling"]):
        parts.append(fitted(rows))
    return "\n\n".join(parts) + "\n"


def _plain(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns of a track that hold something, with a name people understand."""
    if "curve" in rows and rows["curve"].notna().all():
        columns = ["curve", "model", "setting", "x", "value", "unit"]
        return rows[columns].assign(x=rows["x"].astype(int))
    columns = ["contender", "model", "setting", "value", "low", "high", "unit"]
    shown = rows[columns].rename(columns={"contender": "what"})
    return shown if shown["model"].any() else shown.drop(columns="model")


def fit(rows: pd.DataFrame, curve: str) -> tuple[float, float]:
    """(a, b) of seconds = a + b x, least squares."""
    points = rows[(rows["track"] == "scaling") & (rows["curve"] == curve)]
    b, a = np.polyfit(points["x"].astype(float), points["value"], 1)
    return float(a), float(b)


def fitted(rows: pd.DataFrame) -> str:
    """The lines through frames and folds, in words."""
    (a, b), (start, each) = fit(rows, "frames"), fit(rows, "folds")
    return (
        f"Frames: {a:.2f} s + N / {1 / b:.1f} img/s, the network's construction included. "
        f"Folds: {start:.2f} s + {each:.2f} s per fold."
    )


def draw(rows: pd.DataFrame) -> Figure:
    """Bars per network with the limit, loaders, and the five curves. rows: everything measured."""
    kernels = rows[rows["track"] == "kernels"]
    groups = list(kernels.groupby(["model", "setting"], sort=False))
    scaling = rows[rows["track"] == "scaling"]
    figure = Figure(figsize=(13, 8), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.15, 1])
    axs = top.subplots(1, len(groups) + 1, width_ratios=[1] * len(groups) + [1.2])
    for ax, ((model, setting), drawn) in zip(axs, groups, strict=False):
        _bars(ax, drawn, f"{model_name(model)}, {setting}")
    loaders = rows[rows["track"] == "loaders"]
    if len(loaders):
        _bars(axs[-1], loaders, "loaders alone")
        axs[-1].set_xscale("log")
    else:
        axs[-1].set_axis_off()
    curves = [
        ("frames", "frames", "time (s)"),
        ("folds", "folds", "time (s)"),
        ("batch", "batch (images)", "speed (img/s)"),
        ("side", "side (pixels)", "speed (img/s)"),
        ("threads", "threads", "speed (img/s)"),
    ]
    curves = [c for c in curves if (scaling["curve"] == c[0]).any()]
    for ax, (curve, x, y) in zip(bottom.subplots(1, len(curves)), curves, strict=True):
        drawn = scaling[scaling["curve"] == curve]
        ax.plot(drawn["x"], drawn["value"], "o", color=_OURS, ls="" if y == "time (s)" else "-")
        if y == "time (s)":
            a, b = fit(rows, curve)
            at = np.array([0, drawn["x"].max()], float)
            ax.plot(
                at,
                a + b * at,
                color=_LIMIT,
                lw=1.2,
                label=f"{a:.2f} s {b:+.2g} s\N{MULTIPLICATION SIGN}{x}",
            )
            ax.legend(fontsize="x-small", loc="upper left")
        ax.set(xlabel=x, ylabel=y, ylim=(0, 1.15 * drawn["value"].max()), xlim=(0, None))
        if curve in ("folds", "threads"):
            ax.set_xticks(drawn["x"])
        ax.set_title(model_name(drawn["model"].iloc[0]), fontsize="small")
    return figure


def _bars(ax: Axes, shown: pd.DataFrame, title: str) -> None:
    """A bar per contender with the range of its blocks; its limit where there is one."""
    at = np.arange(len(shown))
    value = shown["value"].to_numpy(float)
    ours = shown["contender"].str.startswith("vaaffect")
    spread = np.abs([value - shown["low"].to_numpy(float), shown["high"].to_numpy(float) - value])
    ax.barh(
        at, np.nan_to_num(value), color=np.where(ours, _OURS, _PEER), xerr=np.nan_to_num(spread)
    )
    mark = value / shown["of_limit"].to_numpy(float)
    ends = shown["high"].to_numpy(float)
    if np.isfinite(mark).any():
        beside = (mark > ends) & (mark < ends + 0.25 * np.nanmax(np.r_[mark, ends]))
        ends = np.where(beside, mark, ends)  # where a number would be written over the mark
        ax.plot(mark, at, "|", color=_LIMIT, ms=16, mew=2, label="limit of its precision")
        ax.legend(fontsize="x-small", loc="lower center", bbox_to_anchor=(0.5, 1.06))
    gates = shown["gate"] if "gate" in shown else [""] * len(shown)
    for y, number, high, gate in zip(at, value, ends, gates, strict=True):
        text = f"  {number:,.0f}" if number >= 100 else f"  {number:.2f}"
        measured = np.isfinite(number)
        ax.text(high if measured else 0, y, text if measured else f"  {gate[:40]}", va="center",
                fontsize="x-small")  # fmt: skip
    precision = shown["precision"].fillna("")
    names = [f"{n} ({p})" if p else n for n, p in zip(shown["contender"], precision, strict=True)]
    ax.set_yticks(at, [n.replace(": ", ":\n").replace(", ", ",\n", 1) for n in names],
                  fontsize="x-small")  # fmt: skip
    ax.invert_yaxis()
    ax.set(xlabel="speed (img/s)")
    ax.set_title(title, fontsize="small")
    ax.grid(False, axis="y")
