"""The widgets' Python side: what a page asks and is told, and the static pictures.

What happens in a page is tested in a real one, by `make test-browser`.
"""

import base64
import io
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import nbformat
import numpy as np
import pytest
import torch
from PIL import Image
from small_predictor import SmallPredictor

from vaaffect import widgets
from vaaffect.base.errors import UserError
from vaaffect.classical.features import geometry
from vaaffect.corpora.semaine import RaterTrace
from vaaffect.live.predictor import FacePrediction, Predictor
from vaaffect.report import pages
from vaaffect.simulator import Scene, render, sample_identity
from vaaffect.simulator.circumplex import EMOTIONS, action_units
from vaaffect.study import execution
from vaaffect.widgets import base
from vaaffect.widgets.descent_widget import Surface
from vaaffect.widgets.plane_widget import CONTROLS, DEFAULTS, draw, point_of
from vaaffect.widgets.traces_widget import Traces

PERSON = sample_identity(np.random.default_rng(7))


@pytest.fixture(scope="module")
def small() -> SmallPredictor:
    return SmallPredictor()


@pytest.fixture(scope="module")
def happy() -> bytes:
    """A happy face as the page sends it."""
    units = action_units(np.array(EMOTIONS["happiness"]))
    return base.to_jpeg(render(PERSON, units, Scene(scale=0.24), (480, 360))[0])


@pytest.fixture(scope="module")
def empty() -> bytes:
    """A picture without a face."""
    return base.to_jpeg(np.full((360, 480, 3), 120, np.uint8))


class Page:
    """The page's end of a widget: sends as the browser does, and keeps what comes back."""

    def __init__(self, widget, view: str = "here") -> None:
        self.widget, self.view, self.number, self.got = widget, view, 0, {}
        self.lock = threading.Lock()
        widget.send = self.take

    def take(self, content: dict, buffers: list = ()) -> None:
        with self.lock:
            self.got[content.get("id")] = (content, list(buffers))

    def ask(self, kind: str, *buffers: bytes, **content) -> dict:
        with self.lock:
            self.number += 1
            number = self.number
        message = {"type": kind, "view": self.view, "id": number, **content}
        views = [memoryview(data) for data in buffers]  # what a kernel hands over
        self.widget._handle_custom_msg(message, views)
        return self.got[number][0]


def test_a_picture_gets_its_predictions(small, happy):
    page = Page(widgets.camera(small))
    assert not page.widget.is_on
    page.ask("start")
    answer = page.ask("frame", happy)
    assert page.widget.is_on and answer["size"] == [480, 360] and answer["view"] == "here"
    (face,) = answer["faces"]
    assert face["va"][0] > 0.3 and np.shape(face["landmarks"]) == (68, 2)
    left, top, right, bottom = face["box"]
    assert 0 < left < right < 480 and 0 < top < bottom < 360
    page.ask("stop")
    assert not page.widget.is_on


def test_no_face_is_an_answer_and_no_error(small, empty):
    answer = Page(widgets.camera(small)).ask("frame", empty)
    assert answer["faces"] == [] and "failed" not in answer


def test_bytes_that_are_no_whole_picture_are_refused(small, happy):
    page = Page(widgets.camera(small))
    for bad in (b"", b"no picture", happy[: len(happy) // 2], b"\xff\xd8\x00\x00\xff\xd9"):
        assert "not a whole JPEG" in page.ask("frame", bad)["failed"]
    assert "not a whole JPEG" in page.ask("frame")["failed"]
    assert page.ask("frame", happy)["faces"]  # and it goes on


def test_what_goes_wrong_reaches_the_page(small, happy):
    page = Page(widgets.camera(small))
    assert "unknown request" in page.ask("dance")["failed"]

    class Broken(SmallPredictor):
        def __init__(self):
            self.reset()

        def __call__(self, picture):
            raise RuntimeError("out of memory")

    answer = Page(widgets.camera(Broken())).ask("frame", happy)
    assert answer["failed"] == "RuntimeError: out of memory"
    assert "Traceback" in answer["details"]

    class NotANumber(Broken):
        def __call__(self, picture):
            return [FacePrediction(0, (0, 0, 1, 1), np.zeros((68, 2)), np.array([np.nan, 0]), {})]

    answer = Page(widgets.camera(NotANumber())).ask("frame", happy)
    assert "two finite numbers" in answer["failed"]


def test_messages_without_a_view_are_ignored(small):
    page = Page(widgets.camera(small))
    for content in ({}, None, "x", {"type": "frame"}):
        page.widget._handle_custom_msg(content, [])
    assert page.got == {}


def test_pictures_from_many_threads_are_read_one_at_a_time(small, happy, empty):
    inside, most = 0, 0

    class Counting(SmallPredictor):
        def __init__(self):
            self.line = small.line
            self.reset()

        def __call__(self, picture):
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            predictions = super().__call__(picture)
            inside -= 1
            return predictions

    page = Page(widgets.camera(Counting()))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: page.ask("frame", (happy, empty)[i % 2]), range(40)))
    assert most == 1
    assert [len(answer["faces"]) for answer in answers] == [1, 0] * 20


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [1000.0]
    monkeypatch.setattr("vaaffect.widgets.camera_widget.monotonic", lambda: now[0])
    return now


def test_a_held_pose_is_the_mean_of_its_pictures(small, happy, clock):
    page = Page(widgets.camera(small))
    with pytest.raises(UserError, match="camera is off"):
        page.widget.hold("happy")
    page.ask("start")
    assert "failed" not in page.ask("hold", name=" happy ")
    assert "being held" in page.ask("hold", name="sad")["failed"]
    predicted = []
    for _ in range(60):
        clock[0] += 0.1
        answer = page.ask("frame", happy)
        if "left" in answer.get("hold", {}):
            predicted.append(answer["faces"][0]["va"])
        if "kept" in answer:
            break
    assert len(predicted) == 30
    table = page.widget.poses
    assert table["pose"].tolist() == ["happy"] and table["frames"].tolist() == [30]
    held = table[["valence", "arousal"]].to_numpy()[0]
    assert np.allclose(held, np.mean(predicted, axis=0), atol=1e-3)
    page.widget.forget()
    assert page.widget.poses.empty and list(page.widget.poses) == list(table)


def test_a_pose_whose_face_is_lost_is_not_kept(small, happy, empty, clock):
    page = Page(widgets.camera(small))
    page.ask("start")
    page.widget.hold("angry")
    answer = {}
    for i in range(60):
        clock[0] += 0.1
        answer = page.ask("frame", happy if i % 3 == 0 else empty)
        if "lost" in answer:
            break
    assert re.search(r"angry was not kept: the face was seen in 1?\d of 30", answer["lost"])
    assert page.widget.poses.empty


def test_stopping_drops_the_pose_and_silence_means_off(small, happy, clock):
    page = Page(widgets.camera(small))
    page.ask("start")
    page.widget.hold("happy")
    page.ask("stop")
    page.ask("start")
    assert "hold" not in page.ask("frame", happy)
    clock[0] += 3
    assert not page.widget.is_on
    for name in ("", "  ", None, 41 * "x"):
        with pytest.raises(UserError, match="needs a name"):
            page.widget.hold(name)


def test_a_held_pose_follows_one_person(small, happy, clock):
    """The largest face when it begins, even if somebody else comes nearer."""

    class Two(SmallPredictor):
        def __init__(self):
            self.pictures = 0

        def reset(self):
            pass

        def __call__(self, picture):
            self.pictures += 1
            wide = 10 if self.pictures < 30 else 90
            points = np.zeros((68, 2))
            return [
                FacePrediction(4, (0, 0, 50, 50), points, np.array([0.5, 0.25]), {}),
                FacePrediction(9, (0, 0, wide, wide), points, np.array([-1.0, -1.0]), {}),
            ]

    page = Page(widgets.camera(Two()))
    page.ask("start")
    page.widget.hold("happy")
    while "kept" not in page.ask("frame", happy):
        clock[0] += 0.1
    assert page.widget.poses[["valence", "arousal"]].to_numpy().tolist() == [[0.5, 0.25]]


def line_model(small):
    return lambda picture, landmarks: small.line.predict(geometry(landmarks[None]))[0]


def test_the_plane_draws_and_predicts(small):
    page = Page(widgets.plane(line_model(small), name="line"))
    answer = page.ask("draw", va=[0.8, 0.4], settings={"yaw": 5})
    picture = cv2.imdecode(np.frombuffer(page.got[1][1][0], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (360, 360, 3)
    assert answer["prediction"][0] > 0.3 and answer["va"] == [0.8, 0.4]
    widget = page.widget
    assert np.allclose(widget.va, (0.8, 0.4)) and np.allclose(
        widget.prediction, answer["prediction"]
    )
    assert widget.settings == {**DEFAULTS, "yaw": 5}
    exact = draw(7, widget.va, widget.settings)
    assert np.array_equal(widget.picture, exact[0])
    assert np.allclose(np.clip(line_model(small)(*exact), -1, 1), widget.prediction)


def test_every_slider_changes_the_picture():
    page = Page(widgets.plane())
    page.ask("draw", va=[0, 0])
    first = page.widget.picture.astype(float)
    for control in CONTROLS:
        page.ask("draw", va=[0, 0], settings={control.name: control.high})
        assert np.abs(page.widget.picture - first).mean() > 0.3, control.name


def test_a_sweep_says_what_a_model_is_blind_to(small):
    table = widgets.plane(line_model(small)).sweep((0.5, 0.3), steps=3).set_index("slider")
    assert list(table.index) == [control.label for control in CONTROLS]
    light = table.loc[["Light from", "Harshness", "Brightness"]]
    assert (light == 0).all(axis=None)  # the line sees landmarks alone
    assert (table.loc[["Person", "Turn", "Nod"]] > 0.02).all(axis=None)
    assert table.loc["Tilt"].max() < table.loc["Turn"].max()  # geometry() takes tilt away
    assert widgets.plane(lambda picture, points: None).sweep((0, 0), 2).isna().sum().sum() == 14
    with pytest.raises(UserError, match="no model"):
        widgets.plane().sweep((0, 0))


def test_the_plane_without_a_model_and_with_one_that_finds_nothing():
    page = Page(widgets.plane())
    assert page.ask("draw", va=[0, 0])["prediction"] is None
    assert page.widget.name == "" and len(page.widget.figure().axes) == 1
    assert (
        Page(widgets.plane(lambda picture, points: None)).ask("draw", va=[0, 0])["prediction"]
        is None
    )


def test_the_plane_refuses_what_is_no_point_or_slider():
    page = Page(widgets.plane())
    for va in (None, [1], [float("nan"), 0], ["a", 0], "xy"):
        assert "failed" in page.ask("draw", va=va)
    assert "unknown control 'hat'" in page.ask("draw", va=[0, 0], settings={"hat": 1})["failed"]
    assert np.allclose(point_of((3, 4)), (0.6, 0.8))
    assert base.settings_of({"yaw": 400}, CONTROLS)["yaw"] == 30
    wrong = Page(widgets.plane(lambda picture, points: np.zeros(3)))
    assert "two finite numbers" in wrong.ask("draw", va=[0, 0])["failed"]


def test_python_moves_the_point():
    page = Page(widgets.plane())
    page.widget.move(-0.5, 0.5, roll=10)
    content, _ = page.got[None]
    assert content == {"move": [-0.5, 0.5], "settings": {**DEFAULTS, "roll": 10}}


def test_the_model_of_a_run(run, tmp_path):
    picture, points = draw(7, np.array([0.8, 0.4]), DEFAULTS)
    va = widgets.model_from_run(run)(picture, points)
    (prediction,) = Predictor.from_run(run, device="cpu").predict_faces(picture, [(0, points)])
    assert va.shape == (2,) and np.abs(va).max() <= 1
    assert np.allclose(va, prediction.va, atol=1e-2)  # in another memory format
    with pytest.raises(UserError):
        widgets.model_from_run(tmp_path)


STEEP = np.array([4.0, 0.5])  # curvatures, so that the learning rate's limit is a half


def bowl() -> Surface:
    return Surface(
        lambda w: (STEEP * w**2).sum(axis=-1) / 2, lambda w: STEEP * w, (-1, 1, -1, 1), ("a", "b")
    )


def test_a_walk_down_the_surface_is_the_optimizers():
    page = Page(widgets.descent(bowl(), start=(0.8, -0.6)))
    settings = {"lr": -1, "momentum": 0.5, "steps": 30}  # the logarithm, as the slider has it
    answer = page.ask("descend", start=[0.8, -0.6], settings=settings)
    weights = torch.tensor([0.8, -0.6], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([weights], lr=0.1, momentum=0.5)
    for step in range(31):
        assert np.allclose(answer["path"][step], weights.detach().numpy(), rtol=0, atol=1e-12)
        optimizer.zero_grad()
        (torch.tensor(STEEP) * weights**2).sum().div(2).backward()
        optimizer.step()
    assert np.allclose(answer["costs"], bowl().cost(np.array(answer["path"])))
    assert not answer["diverges"] and np.array_equal(page.widget.path, answer["path"])
    assert page.widget.settings == {
        "lr": 0.1, "momentum": 0.5, "steps": 30, "form": "as run (PyTorch)",
    }  # fmt: skip
    written = page.ask("descend", start=[0.8, -0.6], settings=settings, form="as written (3.9)")
    louder = settings | {"lr": np.log10(0.2)}
    louder = page.ask("descend", start=[0.8, -0.6], settings=louder, form="as written (3.9)")
    assert np.allclose(louder["path"], answer["path"], rtol=0, atol=1e-12)
    assert written["costs"][-1] > 2 * answer["costs"][-1]


@pytest.mark.parametrize(("lr", "diverges"), [(0.49, False), (0.51, True), (3.0, True)])
def test_a_walk_beyond_the_limit_is_called_divergent(lr, diverges):
    page = Page(widgets.descent(bowl(), start=(0.8, -0.6)))
    settings = {"lr": np.log10(lr), "momentum": 0, "steps": 200}
    answer = page.ask("descend", start=[0.8, -0.6], settings=settings)
    assert answer["diverges"] is diverges and np.isfinite(answer["path"]).all()
    assert len(answer["path"]) == len(answer["costs"]) <= 201
    assert (len(answer["path"]) < 30) == (lr > 1)  # it has left for good, and the walk ends


def test_the_surface_is_sent_as_a_picture_with_its_range():
    page = Page(widgets.descent(bowl(), start=(0.8, -0.6)))
    answer = page.ask("surface")
    picture = cv2.imdecode(np.frombuffer(page.got[1][1][0], np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture.shape == (600, 600) and answer["high"] == pytest.approx(2.25)
    assert 0 <= answer["low"] < 0.01
    middle, corner = picture[280:320, 280:320].mean(), picture[:20, :20].mean()
    assert middle > 250 and 100 < corner < 200  # light is low


def test_a_walk_refuses_what_is_no_start_or_setting():
    page = Page(widgets.descent(bowl(), start=(0.8, -0.6)))
    assert page.widget.path is None and page.widget.settings == {}
    for start in (None, [1], [float("nan"), 0], ["a", 0]):
        assert "failed" in page.ask("descend", start=start)
    assert (
        "unknown control 'rate'"
        in page.ask("descend", start=[0, 0], settings={"rate": 1})["failed"]
    )
    assert "unknown form" in page.ask("descend", start=[0, 0], form="x")["failed"]
    with pytest.raises(UserError, match="not a place"):
        widgets.descent(bowl(), start=(1,))


@pytest.mark.parametrize("kind", ["camera", "plane", "descent"])
def test_a_stored_notebook_shows_a_static_picture(small, kind, tmp_path):
    """As after papermill: the executed copy and the page made from it, without a network."""
    made = {
        "camera": lambda: widgets.camera(small),
        "plane": lambda: widgets.plane(line_model(small)),
        "descent": lambda: widgets.descent(bowl(), start=(0.8, -0.6)),
    }[kind]()
    data, _ = made._repr_mimebundle_()
    assert execution.WIDGET in data and data["text/plain"] == f"{type(made).__name__}()"
    encoded = re.search(r'src="data:image/jpeg;base64,([^"]+)"', data["text/html"])[1]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    assert picture.shape[1] > 900 and picture.std() > 30
    assert "simulated" in data["text/html"] and 'alt="' in data["text/html"]
    assert len(data["text/html"]) < 400_000

    output = nbformat.v4.new_output("execute_result", data=data, execution_count=1)
    cell = nbformat.v4.new_code_cell("x", outputs=[output], execution_count=1)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebook.metadata["widgets"] = {"state": {}}
    execution.slim(notebook, execution.cleaner({}))
    assert set(notebook.cells[0].outputs[0].data) == {"text/plain", "text/html"}
    assert "widgets" not in notebook.metadata
    (tmp_path / "notebooks").mkdir()
    executed = tmp_path / "notebooks" / "00_x.ipynb"
    nbformat.write(notebook, executed)
    pages.build_pages(tmp_path, [executed], {})
    page = (tmp_path / "html" / "00_x.html").read_text()
    assert list(pages.loads(page)) == [] and "data:image/jpeg" in page
    assert "widget-view" not in page


def test_the_modules_are_whole_and_load_nothing():
    for name in ("camera.js", "descent.js", "plane.js", "traces.js"):
        module = base.script(name)
        assert module.count("export default") == 1 and "import " not in module
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg|localhost|\$)", module)
    assert "url(" not in widgets.camera._css


@pytest.fixture(scope="module")
def hands() -> Traces:
    """Four raters of one feeling: two as it is, one a second late, one shifted and bolder."""
    time = np.arange(0, 20, 0.02)
    feeling = 0.4 * np.sin(time) + 0.2 * np.sin(2.3 * time)
    late = np.interp(time - 1, time, feeling)
    said = {"1": feeling, "2": feeling + 0.02, "3": late, "4": 0.2 + 1.2 * feeling}
    of = [RaterTrace(name, time, value) for name, value in said.items()]
    return widgets.traces(of, "valence", np.arange(0, 20, 0.1), "drawn (simulated)")


def test_moving_a_late_rater_back_makes_all_agree(hands):
    before = hands.agreement().set_index("rater")
    after = hands.agreement({"3": -1.0}).set_index("rater")
    assert before["PCC"]["3"] < 0.8 and after["PCC"]["3"] > 0.999
    assert (after["PCC"] >= before["PCC"]).all()  # the others' mean is clearer too
    assert after["PCC"]["4"] > 0.999 and after["CCC"]["4"] < 0.9  # CCC sees gain and offset
    assert hands.best_shifts()["3"] == -1.0


def test_a_rater_switched_off_is_in_nobodys_mean(hands):
    table = hands.agreement(on=["1", "2"]).set_index("rater")
    assert table["PCC"]["1"] > 0.9999 and list(table["on"]) == [True, True, False, False]
    alone = hands.agreement(on=["1"]).set_index("rater")
    assert np.isnan(alone["CCC"]["1"]) and alone["CCC"]["2"] > 0.99


def test_the_page_gets_what_python_computes(hands):
    page = Page(hands)
    answer = page.ask("mix", shifts={"3": -1.0}, on=["1", "3"])
    table = hands.agreement({"3": -1.0}, ["1", "3"]).set_index("rater")
    for name, (pcc, ccc) in answer["rows"].items():
        assert (pcc, ccc) == pytest.approx(tuple(table.loc[name, ["PCC", "CCC"]]), abs=1e-4)
    mean = np.array(answer["mean"], float)
    both = np.array([answer["lines"]["1"], answer["lines"]["3"]], float)
    np.testing.assert_allclose(mean, np.nanmean(both, axis=0), atol=2e-4)
    nobody = page.ask("mix", shifts={}, on=[])
    assert nobody["mean"] == [] and nobody["whole"] == [None, None]


def test_shifts_and_raters_that_are_none_are_refused(hands):
    page = Page(hands)
    for bad in ({"shifts": {"9": 1}}, {"shifts": None}, {"shifts": {"1": "x"}}):
        assert "failed" in page.ask("mix", on=["1"], **bad)
    assert "at most 2 seconds" in page.ask("mix", shifts={"1": 3}, on=["1"])["failed"]
    assert "no raters" in page.ask("mix", shifts={}, on=["9"])["failed"]
    one = RaterTrace("1", np.arange(3.0), np.zeros(3))
    for few in ([], [one, one]):
        with pytest.raises(UserError, match="two raters"):
            widgets.traces(few, "valence", np.arange(3.0), "drawn")


def test_traces_have_a_static_picture(hands):
    page = hands._repr_mimebundle_()[0]["text/html"]
    assert list(pages.loads(page)) == [] and "drawn (simulated)" in page
