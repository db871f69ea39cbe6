"""Raters' traces that one can shift in time and average: what the mean, the label, is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..base import UserError
from ..corpora import RaterTrace, rate
from ..report import tables
from ..results import metrics
from .base import Interactive, json_numbers, number_of, script, static_page

FARTHEST, STEP = 2.0, 0.1  # seconds that a trace may be moved, either way


def _agreement(
    trace: RaterTrace, others: Sequence[RaterTrace], times: np.ndarray
) -> tuple[float, float]:
    """(PCC, CCC) of a trace with the others' mean at times (T,); nan where that is undefined."""
    if not others:
        return np.nan, np.nan
    values, mean = trace.at(times), rate(list(others), times)[0]
    both = np.isfinite(values) & np.isfinite(mean)
    if both.sum() < 3:
        return np.nan, np.nan
    return metrics.pcc(mean[both], values[both]), metrics.ccc(mean[both], values[both])


class Traces(Interactive):
    """Raters' traces to shift in time, to switch on and off, and to average.

    Args:
        rated: traces of several raters of one session and dimension, as of `semaine.read_sessions`;
            UserError for fewer than two raters, or two of one name.
        dimension: "valence" or "arousal"; for the labels.
        times: (T,) seconds at which they are drawn and compared.
        data: what the corpus is called where the traces are shown.
    """

    _esm = script("traces.js")
    times = traitlets.List([]).tag(sync=True)
    raters = traitlets.List([]).tag(sync=True)  # their names
    palette = traitlets.List([]).tag(sync=True)  # a colour each
    dimension = traitlets.Unicode("").tag(sync=True)
    data = traitlets.Unicode("").tag(sync=True)
    farthest = traitlets.Float(FARTHEST).tag(sync=True)
    step = traitlets.Float(STEP).tag(sync=True)

    def __init__(
        self, rated: Sequence[RaterTrace], dimension: str, times: np.ndarray, data: str
    ) -> None:
        if len({trace.rater for trace in rated}) < max(2, len(rated)):
            raise UserError("agreement needs traces of at least two raters, one trace each.")
        super().__init__(
            times=np.round(times, 3).tolist(),
            raters=[trace.rater for trace in rated],
            palette=sns.color_palette("colorblind", len(rated)).as_hex(),
            dimension=dimension,
            data=data,
        )
        self._traces = {trace.rater: trace for trace in rated}
        self._times = np.asarray(times, float)

    def agreement(
        self, shifts: Mapping[str, float] | None = None, on: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """How well each rater agrees with the mean of the others that are switched on.

        Args:
            shifts: seconds by rater, two at most; who is not named stays in place.
            on: the raters whose mean is taken; by default all. The others are compared with it too.

        Returns:
            A row per rater: rater, on, shift, PCC, CCC (nan where undefined).
        """
        return self._mix(shifts or {}, on)[2]

    def best_shifts(self) -> dict[str, float]:
        """For each rater the shift with the highest PCC with the mean of the others, unmoved."""
        steps = np.round(np.arange(-FARTHEST, FARTHEST + STEP / 2, STEP), 1)
        best = {}
        for name, trace in self._traces.items():
            others = [other for other in self._traces.values() if other is not trace]
            moved = [replace(trace, time=trace.time + step) for step in steps]
            pcc = [_agreement(one, others, self._times)[0] for one in moved]
            best[name] = float(steps[np.nanargmax(pcc)]) if np.isfinite(pcc).any() else 0.0
        return best

    def on_mix(self, content: dict) -> dict:
        """The page's traces as they stand: lines, their mean, and who agrees how well."""
        lines, mean, table = self._mix(content.get("shifts"), content.get("on"))
        both = table.set_index("rater")[["PCC", "CCC"]]
        return {
            "lines": {name: json_numbers(line, 4) for name, line in lines.items()},
            "mean": json_numbers(mean, 4),
            "rows": {name: json_numbers(row, 4) for name, row in both.iterrows()},
            "whole": json_numbers(both[table["on"].to_numpy()].mean(), 4),
        }

    def figure(self) -> Figure:
        """The traces as they were rated, and each moved to where it agrees best with the others."""
        figure = Figure(figsize=(11, 4.2), layout="constrained")
        axs = figure.subplots(1, 2, sharey=True)
        self._draw(axs[0], {}, "as they were rated")
        self._draw(axs[1], self.best_shifts(), "each moved to where it agrees best")
        axs[0].set_ylabel(self.dimension)
        return figure

    def words(self) -> tuple[str, str]:
        return (
            f"Raters' traces of {self.dimension} over time with their mean, as they were rated and "
            "each moved in time to where it agrees best with the others",
            "In JupyterLab one moves each rater in time and switches raters on and off; their mean "
            f"and their agreement follow. {self.data}.",
        )

    def _draw(self, ax: Axes, shifts: Mapping[str, float], title: str) -> None:
        lines, mean, table = self._mix(shifts, None)
        for row, colour in zip(table.itertuples(), self.palette, strict=True):
            label = f"{row.rater}: CCC {tables.format_number(row.CCC)}"
            ax.plot(self._times, lines[row.rater], lw=1.2, color=colour, label=label)
        ax.plot(self._times, mean, color="black", lw=2.6, label="mean")
        ax.set(xlabel="time (seconds)", ylim=(-1, 1), title=title)
        ax.legend(ncols=3, fontsize="small", title="rater, with the mean of the others",
                  title_fontsize="small", loc="upper center",
                  bbox_to_anchor=(0.5, -0.18))  # fmt: skip

    def _mix(
        self, shifts: Any, on: Any
    ) -> tuple[dict[str, np.ndarray], np.ndarray | list, pd.DataFrame]:
        """Each rater's moved line (T,), the mean of those that are on, and `agreement`."""
        if not isinstance(shifts, Mapping) or not set(shifts) <= set(self._traces):
            raise UserError(f"{shifts!r} is no shift by rater; there are {', '.join(self.raters)}.")
        moved = {}
        for name, trace in self._traces.items():
            shift = number_of(shifts.get(name, 0.0), f"the shift of rater {name}")
            if abs(shift) > FARTHEST + 1e-9:
                raise UserError(f"a trace is moved by at most {FARTHEST:g} seconds either way.")
            moved[name] = replace(trace, time=trace.time + shift)
        on = self.raters if on is None else on
        if not isinstance(on, (list, tuple)) or not set(on) <= set(self._traces):
            raise UserError(f"{on!r} are no raters; raters are {', '.join(self.raters)}.")
        rows = []
        for name, trace in moved.items():
            others = [moved[other] for other in moved if other in on and other != name]
            shift = float(shifts.get(name, 0.0))
            rows.append((name, name in on, shift, *_agreement(trace, others, self._times)))
        table = pd.DataFrame(rows, columns=["rater", "on", "shift", "PCC", "CCC"])
        mean = rate([moved[name] for name in moved if name in on], self._times)[0] if on else []
        return {name: trace.at(self._times) for name, trace in moved.items()}, mean, table


class LoneTrace:
    """In the widget's place, where one rater alone traced a session: the trace, to be looked at.

    Arguments are those of `Traces`, with one trace.
    """

    def __init__(
        self, rated: Sequence[RaterTrace], dimension: str, times: np.ndarray, data: str
    ) -> None:
        (self.trace,) = rated
        self.dimension, self.times, self.data = dimension, np.asarray(times, float), data

    def __repr__(self) -> str:
        return "LoneTrace()"

    def _repr_html_(self) -> str:
        figure = Figure(figsize=(11, 4.2), layout="constrained")
        ax = figure.subplots()
        ax.plot(self.times, self.trace.at(self.times), lw=1.2, label=f"rater {self.trace.rater}")
        ax.set(xlabel="time (seconds)", ylabel=self.dimension, ylim=(-1, 1))
        ax.legend(fontsize="small")
        alternative = f"The one rater's trace of {self.dimension} over time"
        caption = (
            f"One rater alone traced {self.dimension} here, so there is nobody to agree with and "
            f"nothing to move. {self.data}."
        )
        return static_page(figure, alternative, caption)


def traces(
    rated: Sequence[RaterTrace], dimension: str, times: np.ndarray, data: str
) -> Traces | LoneTrace:
    """`Traces` to move; a static picture, which says so, where there is one rater alone."""
    return (LoneTrace if len(rated) == 1 else Traces)(rated, dimension, times, data)
