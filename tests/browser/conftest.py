"""A real JupyterLab on loopback and a real Chromium whose camera shows a clip of the simulator."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import nbformat
import numpy as np
import pytest

from vaaffect.base.paths import ROOT
from vaaffect.simulator import Scene, build_set, render, sample_identity
from vaaffect.simulator.circumplex import EMOTIONS, action_units

TOKEN = "only-for-this-test"
ELSEWHERE = "notebooks.test"  # resolves to 127.0.0.1 in this browser, and is no secure context
SIZE = (480, 360)
FRAMES, RATE = 120, 30  # of the clip, which the camera repeats
BITS, BLOCK = 7, 12  # of the frame's number, drawn into the picture; pixels of each
START = 90  # seconds that the server, the page or a kernel may take on a slow machine

NOTEBOOK = {
    "imports": """
import json
import numpy as np
from small_predictor import SmallPredictor
from vaaffect import widgets
from vaaffect.classical.features import geometry
if "small" not in globals():  # another page may have run this
    small = SmallPredictor()

class Noting:
    \"\"\"The small predictor; notes the number that is drawn into each picture.\"\"\"
    def __init__(self):
        self.noted = []
    def reset(self):
        small.reset()
    def __call__(self, picture):
        predictions = small(picture)
        bits = [int(picture[6, 12 * i + 6].mean() > 128) for i in range(7)]
        if predictions:
            frame = sum(bit << i for i, bit in enumerate(bits))
            self.noted.append([frame, *predictions[0].va.tolist()])
        return predictions

noting = Noting()
""",
    "camera": "camera = widgets.camera(noting)\ncamera",
    "busy": "import time\ntime.sleep(2)",
    "result": """
print("RESULT", json.dumps({"noted": noting.noted, "poses": camera.poses.to_dict("records"),
                            "on": camera.is_on}))
""",
    "plane": """
def model(picture, landmarks):
    return small.line.predict(geometry(landmarks[None]))[0]

plane = widgets.plane(model, name="line on landmarks", start=(0, 0))
plane
""",
    "descent": """
from vaaffect.widgets import Surface

steep = np.array([4.0, 0.5])
bowl = Surface(lambda w: (steep * w**2).sum(axis=-1) / 2, lambda w: steep * w, (-1, 1, -1, 1))
descent = widgets.descent(bowl, start=(0.8, -0.6), lr=0.1, momentum=0.9, steps=60)
descent
""",
    "walk": 'print("WALK", json.dumps({"path": descent.path.tolist(), **descent.settings}))',
    "traces": """
from vaaffect.corpora import RaterTrace

clock = np.arange(0, 20, 0.02)
feeling = 0.4 * np.sin(clock) + 0.2 * np.sin(2.3 * clock)
said = {"1": feeling, "2": 0.6 * feeling + 0.1, "3": np.interp(clock - 1, clock, feeling)}
said = [RaterTrace(name, clock, value) for name, value in said.items()]
traces = widgets.traces(said, "valence", np.arange(0, 20, 0.1), "drawn (simulated)")
traces
""",
    "where": 'print("WHERE", json.dumps([plane.va.tolist(), plane.prediction.tolist()]))',
}


def truth(frame: int) -> np.ndarray:
    """(valence, arousal) of a frame of the clip: from happy to sad and back."""
    sad = 0.5 - 0.5 * np.cos(2 * np.pi * frame / FRAMES)
    return (1 - sad) * np.array(EMOTIONS["happiness"]) + sad * np.array(EMOTIONS["sadness"])


@pytest.fixture(scope="session")
def chromium() -> str:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail("Chromium is not installed; on Debian: sudo apt install chromium")
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """A .y4m film: Chromium shows its levels and its rate as they are."""
    path = tmp_path_factory.mktemp("clip") / "clip.y4m"
    scene = Scene(scale=0.24)
    person, shared = sample_identity(np.random.default_rng(7)), build_set(scene, SIZE)
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{SIZE[0]} H{SIZE[1]} F{RATE}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in range(FRAMES):
            picture, _ = render(person, action_units(truth(frame)), scene, SIZE, shared)
            for bit in range(BITS):
                left = BLOCK * bit
                picture[:BLOCK, left : left + BLOCK] = 255 if frame >> bit & 1 else 0
            file.write(b"FRAME\n" + cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420).tobytes())
    return path


@dataclass
class Lab:
    """A running server."""

    port: int
    folder: Path

    def address(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/lab/tree/test.ipynb?token={TOKEN}"

    def api(self, path: str) -> object:
        url = f"http://127.0.0.1:{self.port}/api/{path}?token={TOKEN}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)

    def wait_until_ready(self) -> None:
        for _ in range(10 * START):
            try:
                self.api("status")
                return
            except OSError:
                time.sleep(0.1)
        pytest.fail(f"JupyterLab did not start:\n{(self.folder / 'log').read_text()[-3000:]}")


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Iterator[Lab]:
    """JupyterLab with a home of its own and no news, serving one notebook."""
    home = tmp_path_factory.mktemp("home")
    work = home / "work"
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    for folder in (work, settings, home / "tmp"):
        folder.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source.strip()) for source in NOTEBOOK.values()],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(notebook, work / "test.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"HOME": home, "TMPDIR": home / "tmp", "IPYTHONDIR": home / "ipython"}
    for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):
        own[f"JUPYTER_{name}"] = home / name.lower()
    own["JUPYTERLAB_SETTINGS_DIR"] = home / "settings"
    own["JUPYTERLAB_WORKSPACES_DIR"] = home / "workspaces"
    own["MPLCONFIGDIR"] = matplotlib.get_configdir()  # its list of fonts takes long to make
    own["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "IPYTHON"))}
    options = [
        "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={work}",
        "--ServerApp.allow_remote_access=True", "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=None", "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    if os.name == "posix" and os.geteuid() == 0:
        options.append("--allow-root")
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            cwd=work, env=kept | {k: str(v) for k, v in own.items()}, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield Lab(port, home)  # not ready yet: the clip can be drawn meanwhile
        finally:
            server.terminate()
            server.wait(20)
