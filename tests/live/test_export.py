"""Exports predict as PyTorch does, say what they take and give, and bad ones do not stay."""

import importlib.util

import numpy as np
import pytest

from vaaffect.base.errors import UserError
from vaaffect.live import backends, export
from vaaffect.live.predictor import Predictor

EARLIER = b"... valence (unpleasant to pleasant) ..."  # what an export is known by
needs_live = pytest.mark.skipif(
    any(importlib.util.find_spec(n) is None for n in ("openvino", "onnx", "onnxscript")),
    reason="the extra `live` is not installed",
)


@needs_live
@pytest.mark.parametrize("name", ["net é.onnx", "net.xml"])
def test_an_export_predicts_as_the_study_does_and_describes_itself(run, tiny_crops, tmp_path, name):
    out = tmp_path / "new" / name
    out.parent.mkdir()
    out.write_bytes(EARLIER)
    lines = export.export_run(run, out)
    assert any("random crops" in line for line in lines)
    assert any("drawn faces" in line for line in lines)
    model = backends.openvino().Core().read_model(out)
    (crop,), (va,) = model.inputs, model.outputs
    assert list(crop.shape) == [1, 32, 32, 3] and crop.element_type.get_type_name() == "u8"
    assert list(va.shape) == [1, 2] and va.element_type.get_type_name() == "f32"
    assert "crop" in crop.names and "va" in va.names
    crops = np.array(tiny_crops.images[:10])
    network = backends.compile_openvino(model, "f32")
    ours = Predictor.from_run(run, device="cpu").network(crops)  # perhaps in bfloat16
    assert np.abs(network(crops) - ours).max() < 2e-2
    if name.endswith(".onnx"):
        import onnx

        about = {p.key: p.value for p in onnx.load(out).metadata_props}
    else:
        keys = ("input", "output", "run")
        about = {key: model.get_rt_info(["vaaffect", key]).astype(str) for key in keys}
    assert "uint8 (1, 32, 32, 3), RGB" in about["input"] and about["run"] == run.name
    assert about["output"].index("valence") < about["output"].index("arousal")
    assert "[-1, 1]" in about["output"]


@needs_live
def test_an_export_that_predicts_otherwise_is_refused_and_leaves_an_earlier_one(
    run, tmp_path, monkeypatch
):
    # The check must see a network that is not the same: here, one without the scaling.
    monkeypatch.setattr(backends, "to_input", lambda x: x.permute(0, 3, 1, 2).float() / 100)
    original = export.compile_openvino

    def unscaled(model, precision):
        monkeypatch.undo()
        return original(model, precision)

    monkeypatch.setattr(export, "compile_openvino", unscaled)
    earlier = {"net.bin": b"weights", "net.xml": EARLIER}
    for name, content in earlier.items():
        (tmp_path / name).write_bytes(content)
    for name in ("net.xml", "new.xml"):
        with pytest.raises(UserError, match="predictions differ from PyTorch's"):
            export.export_run(run, tmp_path / name)
        monkeypatch.setattr(export, "TOLERANCE", -1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == earlier


@pytest.mark.parametrize(
    ("out", "there", "said"),
    [
        ("net.onnx", "net.onnx", r"net\.onnx: is there already and is no earlier result"),
        ("net.xml", "net.xml", r"net\.xml: is there already and is no earlier result"),
        ("net.xml", "net.bin", r"net\.bin: is there already and is no earlier result"),
        ("link.xml", "", r"link\.bin: is .*model\.pt, which is read, and would be overwritten by"),
        ("folder.onnx", "", r"folder\.onnx: is a folder, and a file is needed for the network"),
    ],
)
def test_an_export_overwrites_nothing_else(run, tmp_path, out, there, said):
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "link.bin").symlink_to(run / "model.pt")
    if there:
        (tmp_path / there).write_bytes(b"of another program")
    before = {path.name: path.is_dir() or path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=said):
        export.export_run(run, tmp_path / out)
    assert {path.name: path.is_dir() or path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_unknown_kind_of_export_is_refused(run, tmp_path):
    with pytest.raises(UserError, match=r"end the name in \.onnx"):
        export.export_run(run, tmp_path / "net.pt")
