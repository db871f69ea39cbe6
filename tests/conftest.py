"""Small real inputs that several test files share; order and threads of tests run side by side."""

# First: it says with how many threads libraries compute that are loaded below.
from threads import SIDE_BY_SIDE  # isort: skip

import signal
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from made_up import transferred

from vaaffect.base import processes
from vaaffect.corpora.afew_va import load_afew_va
from vaaffect.corpora.corpus import Corpus
from vaaffect.corpora.crops import Crops, build_crops
from vaaffect.corpora.folds import subject_folds
from vaaffect.simulator.laboratory import LabWorld
from vaaffect.simulator.recordings import write_semaine
from vaaffect.simulator.tour import Tour, draw_tour, record
from vaaffect.simulator.worlds import WildWorld
from vaaffect.simulator.writers import write_afew_va
from vaaffect.training.loop import train
from vaaffect.training.recipe import Recipe
from vaaffect.training.spec import Training

# A shell's background job ignores Ctrl-C, and so would the processes whose Ctrl-C is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

TINY = WildWorld(clips=20, subjects=10, frames=(3, 4), seed=3)
TINY_LAB = LabWorld(sessions=6, subjects=3, seconds=(4, 6), seed=3)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Thorough tests run where -m names them; side by side, the smoke study comes first."""
    if "thorough" not in config.option.markexpr:
        thorough = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=thorough)
        items[:] = [item for item in items if item not in thorough]
    if SIDE_BY_SIDE:  # one process takes it at once, the others take the rest meanwhile
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session", autouse=True)
def one_core_each() -> Iterator[None]:
    """Side by side, a test that names no number of processes starts none: the cores are taken."""
    with pytest.MonkeyPatch.context() as patch:
        if SIDE_BY_SIDE:
            patch.setattr(processes, "cores", lambda: 1, raising=False)
        yield


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory) -> Path:
    """A tiny simulated corpus on disk. Copy it before changing it."""
    root = tmp_path_factory.mktemp("corpora") / "wild corpus é"  # paths have spaces and accents
    write_afew_va(root, TINY)
    return root


@pytest.fixture(scope="session")
def lab_root(tmp_path_factory) -> Path:
    """A tiny simulated laboratory on disk. Copy it before changing it."""
    root = tmp_path_factory.mktemp("corpora") / "labo é è"
    write_semaine(root, TINY_LAB)
    return root


@pytest.fixture(scope="session")
def tiny_corpus(tiny_root) -> Corpus:
    return load_afew_va(tiny_root)


@pytest.fixture(scope="session")
def tiny_crops(tiny_corpus, tmp_path_factory) -> Crops:
    return build_crops(tiny_corpus, 32, cache=tmp_path_factory.mktemp("crops"))


@pytest.fixture(scope="session")
def run(tiny_crops, tmp_path_factory) -> Path:
    """A small network that has learned something: its answers must differ between faces."""
    recipe = Recipe("quick", epochs=4, batch_size=8, lr=0.002, optimizer="adamw")
    split = subject_folds(tiny_crops.frames, 3)[0]
    folder = tmp_path_factory.mktemp("runs")
    return train(Training("resnet10", recipe, tiny_crops, split, keep_model=True), folder)


@pytest.fixture(scope="session")
def tour() -> Tour:
    """Three seconds of a drawn person in front of a camera."""
    return draw_tour(3.0, 12.5, seed=1)


@pytest.fixture(scope="session")
def tour_path(tour, tmp_path_factory) -> Path:
    """The same as a video file."""
    return record(tour, tmp_path_factory.mktemp("clips") / "clip é.avi")


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that anybody may enter; pytest's own are for the user alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other machine can be reached, as far as urllib knows."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # a port where nothing listens
    # It keeps the proxies of its first request, which may be those of another test.
    monkeypatch.setattr(urllib.request, "_opener", None)


@pytest.fixture(scope="session")
def transfer() -> pd.DataFrame:
    """As of `made_up.transferred`."""
    return transferred()
