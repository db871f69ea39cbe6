"""A trained network for other programs: ONNX, or OpenVINO's own format (IR).

Scaling and clipping are inside, so nothing about the training needs to be known; the file's
metadata say what goes in and comes out. `pip install -e ".[live]"` brings what this needs.
"""

import importlib.util
import io
import tempfile
import warnings
from contextlib import redirect_stdout
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch

from ..base import UserError, holds, refuse_to_overwrite
from ..corpora import MARGIN, crop_face
from ..simulator import EMOTIONS, Scene, action_units, render, sample_identity
from ..training import load_model, read_config, refuse_clips
from .backends import FromBytes, compile_openvino, openvino, openvino_model

TOLERANCE = 1e-4  # of labels in [-1, 1]; other orders of the sums in float32 give 1e-6 to 1e-5
_FACES = 16  # of each kind of crop in the check
_VALENCE = "valence (unpleasant to pleasant)"  # by this an earlier export is known
_DESCRIPTION = {
    "input": "crop: uint8 (1, S, S, 3), RGB, a face cut out and stretched to a square",
    "box": f"around the 68 iBUG landmarks, {MARGIN:g} of its width and height added on each side",
    "output": f"va: float32 (1, 2), first {_VALENCE}, then arousal (calm to excited), each clipped "
    "to [-1, 1]",
    "scaling": "inside the network: crop / 127.5 - 1",
}


def export_run(run: Path, out: Path) -> list[str]:
    """Write the network of a run folder to a file, check it, and return lines to print.

    `out` ends in .onnx, or in .xml for OpenVINO IR, which writes a .bin beside it. The check
    compares OpenVINO in float32 with PyTorch, on random crops and on crops of drawn faces.

    UserError: an unknown ending, no model, a package is missing; a file would be overwritten that
    is part of the run, or no earlier export; or the predictions differ by more than TOLERANCE. Then
    nothing is written, and an earlier export stays.
    """
    ending = out.suffix.lower()
    if ending not in (".onnx", ".xml"):
        raise UserError(f"{out}: end the name in .onnx, or in .xml for OpenVINO IR.")
    config = read_config(run)
    refuse_clips(run, config)
    weights = [(out.with_suffix(".bin"), "the weights")] if ending == ".xml" else []
    refuse_to_overwrite(
        run.iterdir(), [(out, "the network"), *weights],
        lambda _: out.exists() and holds(out, _VALENCE.encode()),
    )  # fmt: skip
    ov = openvino()
    model = load_model(run)
    size = config["image_size"]
    about = {key: text.replace("S, S", f"{size}, {size}") for key, text in _DESCRIPTION.items()}
    about |= {"run": run.name, "model": config["model"], "trained_on": config["data"]}
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".vaaffect-") as folder:
        draft = Path(folder) / out.name
        if ending == ".onnx":
            _save_onnx(model, size, about, draft)
        else:
            converted = openvino_model(model, size)
            for key, text in about.items():
                converted.set_rt_info(text, ["vaaffect", key])
            ov.save_model(converted, draft, compress_to_fp16=False)
        gaps = _gaps(model, ov.Core().read_model(draft), size)
        gap = max(gaps.values())
        if not gap <= TOLERANCE:
            raise UserError(f"{out}: predictions differ from PyTorch's by {gap:.2g}; not exported.")
        written = sorted(Path(folder).iterdir())
        megabytes = sum(path.stat().st_size for path in written) / 2**20
        for path in written:
            path.replace(out.parent / path.name)
    return [
        f"{out}: {config['model']} for crops of {size} x {size}, {megabytes:.1f} MiB.",
        *(f"{key}: {text}" for key, text in about.items()),
        *(
            f"largest difference from PyTorch on {_FACES} {kind}: {gap:.1e} (at most {TOLERANCE:g})"
            for kind, gap in gaps.items()
        ),
    ]


def _save_onnx(model: torch.nn.Module, size: int, about: dict[str, str], out: Path) -> None:
    missing = [n for n in ("onnx", "onnxscript") if importlib.util.find_spec(n) is None]
    if missing:
        raise UserError(f'{missing[0]} is not installed; pip install -e ".[live]".')
    import onnx

    crop = torch.zeros(1, size, size, 3, dtype=torch.uint8)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):  # it talks about its steps
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            FromBytes(model.eval()), (crop,), input_names=["crop"], output_names=["va"],
            dynamo=True, optimize=True, verbose=False,
        )  # fmt: skip
    proto = program.model_proto
    proto.doc_string = "Valence and arousal from a face crop."
    onnx.helper.set_model_props(proto, about)
    onnx.checker.check_model(proto)
    onnx.save_model(proto, out)


def _gaps(model: torch.nn.Module, exported, size: int) -> dict[str, float]:
    """Largest difference between PyTorch and what was exported, by kind of crop."""
    noise = np.random.default_rng(0).integers(0, 256, (_FACES, size, size, 3), np.uint8)
    rng, drawn = np.random.default_rng(0), []
    for va in islice(cycle(EMOTIONS.values()), _FACES):
        picture, points = render(sample_identity(rng), action_units(0.8 * np.array(va)), Scene())
        drawn.append(crop_face(picture, points, size)[0])
    network, ours = compile_openvino(exported, "f32"), FromBytes(model.eval())
    gaps = {}
    for kind, crops in {"random crops": noise, "drawn faces": np.stack(drawn)}.items():
        with torch.inference_mode():
            exact = ours(torch.from_numpy(crops)).numpy()
        gaps[kind] = float(np.abs(network(crops) - exact).max())
    return gaps
