"""What the widgets share: requests from the page, answers to it, and a static picture.

A page asks by a custom message {"view", "id", "type", ...} and gets one answer with the same view
and id. Only what every view needs to draw itself is widget state, so neither pictures nor
predictions are ever stored in a notebook.
"""

import base64
import html
import io
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import cv2
import numpy as np
import traitlets
from matplotlib.figure import Figure

from ..base import UserError
from ..report import plots
from ..simulator import EMOTIONS

FOLDER = Path(__file__).parent
JPEG_QUALITY = 90
# Messages come in on threads of their own, one per widget; models and trackers keep state, and
# two predictions at once would only share the same processor.
ONE_AT_A_TIME = threading.RLock()


@dataclass(frozen=True)
class Control:
    """A slider; `value` is where it stands at first."""

    name: str
    label: str
    low: float
    high: float
    step: float
    value: float
    unit: str = ""


# What a page sends or a model gives may be anything; UserError where it is not what is needed.


def settings_of(sent: Mapping[str, Any] | None, controls: Sequence[Control]) -> dict[str, float]:
    """A value for each control, within its range; its default where none was sent."""
    sent = sent or {}
    by_name = {control.name: control for control in controls}
    if unknown := sorted(set(sent) - set(by_name)):
        raise UserError(f"unknown control {unknown[0]!r}; there are: {', '.join(by_name)}.")
    values = {name: number_of(sent.get(name, c.value), name) for name, c in by_name.items()}
    return {name: min(max(values[name], c.low), c.high) for name, c in by_name.items()}


def number_of(value: Any, name: str) -> float:
    """A finite number."""
    if not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
        raise UserError(f"{name} is {value!r}, not a number.")
    return float(value)


def pair_of(sent: Any, name: str, wanted: str) -> np.ndarray:
    """Two finite numbers (2,), the `name`; `wanted` says which, in words."""
    if not isinstance(sent, (list, tuple, np.ndarray)) or len(sent) != 2:
        raise UserError(f"{sent!r} is not {wanted}.")
    return np.array([number_of(value, name) for value in sent])


def va_of(predicted: Any, model: str) -> np.ndarray:
    """(valence, arousal) (2,) as a model of any kind has predicted it."""
    va = np.asarray(predicted, dtype=float).reshape(-1)
    if va.shape != (2,) or not np.isfinite(va).all():
        raise UserError(f"the {model} gave {predicted!r}; it must give two finite numbers.")
    return va


def json_numbers(values: Any, digits: int) -> list[float | None]:
    """Rounded numbers as JSON has them: null where there is none."""
    return [round(float(v), digits) if np.isfinite(v) else None for v in values]


def script(name: str) -> str:
    """The ES module of a widget: what all share, then its own. No build step, no import."""
    return "\n".join((FOLDER / part).read_text(encoding="utf-8") for part in ("shared.js", name))


def static_page(figure: Figure, alternative: str, caption: str) -> str:
    """HTML of a picture with its alternative text and its caption."""
    file, quality = io.BytesIO(), {"quality": JPEG_QUALITY}
    figure.savefig(file, format="jpeg", dpi=130, bbox_inches="tight", pil_kwargs=quality)
    source = base64.b64encode(file.getvalue()).decode()
    alternative, caption = html.escape(alternative), html.escape(caption)
    return (
        f'<figure style="margin:0"><img src="data:image/jpeg;base64,{source}" '
        f'alt="{alternative}" style="max-width:100%;height:auto">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


class Interactive(anywidget.AnyWidget):
    """A widget whose page asks and whose Python side answers, with a picture for where it cannot.

    Subclasses have a method `on_TYPE` for each type of request: from its content, with "buffers",
    to the answer's; bytes under "picture" travel as a buffer. In a stored notebook, an exported
    page, on GitHub stands what `figure()` gives (not a figure of pyplot's, which a notebook would
    show a second time), with the alternative text and the caption of `words()`.
    """

    _css = (FOLDER / "widgets.css").read_text(encoding="utf-8")
    colours = traitlets.Dict({**plots.COLOURS, "prediction": plots.READING}).tag(sync=True)
    emotions = traitlets.Dict({k: list(v) for k, v in EMOTIONS.items()}).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.on_msg(self._receive)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"  # the same in every run

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        data, metadata = super()._repr_mimebundle_(**kwargs)
        with ONE_AT_A_TIME:
            figure = self.figure()
        return {**data, "text/html": static_page(figure, *self.words())}, metadata

    def _receive(self, _: Any, content: Any, buffers: list) -> None:
        """Answer one request. Whatever goes wrong must reach the page: nobody sees this thread."""
        if not isinstance(content, dict) or "view" not in content:
            return  # a sign of life, to see whether the connection is there
        try:
            handler = getattr(self, f"on_{content.get('type')}", None)
            if handler is None:
                raise UserError(f"unknown request {content.get('type')!r}; run the cell again.")
            with ONE_AT_A_TIME:
                answer = handler({**content, "buffers": buffers})
        except UserError as error:
            answer = {"failed": str(error)}
        except Exception as error:
            failed = f"{type(error).__name__}: {error}"
            answer = {"failed": failed, "details": traceback.format_exc()}
        data = [answer.pop("picture")] if "picture" in answer else []
        self.send({**answer, "view": content["view"], "id": content.get("id")}, data)


def from_jpeg(buffers: list) -> np.ndarray:
    """The picture of a request, (H, W, 3) uint8 RGB; UserError where it is not one whole JPEG."""
    data = bytes(buffers[0]) if len(buffers) == 1 else b""
    # A decoder fills what is missing of a cut-off picture with grey; the end mark tells.
    whole = data.startswith(b"\xff\xd8") and data.rstrip(b"\x00").endswith(b"\xff\xd9")
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if whole else None
    if picture is None:
        raise UserError("the page sent something that is not a whole JPEG picture; press Start.")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def to_jpeg(picture: np.ndarray) -> bytes:
    """A picture (H, W, 3) uint8 RGB as JPEG bytes."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
