"""Small real inputs that several test files share."""

from pathlib import Path

import pytest

from vaaffect.afew_va import load_afew_va
from vaaffect.corpus import Corpus
from vaaffect.crops import Crops, build_crops
from vaaffect.simulator.worlds import WildWorld
from vaaffect.simulator.writers import write_afew_va

TINY = WildWorld(clips=20, subjects=10, frames=(3, 4), seed=3)


def pytest_collectstart(collector) -> None:
    """nbval compares text: pictures are looked at by people, stderr depends on the machine."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += "image/png", "stderr", "text/html"


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory) -> Path:
    """A tiny simulated corpus on disk. Copy it before changing it."""
    root = tmp_path_factory.mktemp("corpora") / "wild corpus é"  # paths have spaces and accents
    write_afew_va(root, TINY)
    return root


@pytest.fixture(scope="session")
def tiny_corpus(tiny_root) -> Corpus:
    return load_afew_va(tiny_root)


@pytest.fixture(scope="session")
def tiny_crops(tiny_corpus, tmp_path_factory) -> Crops:
    return build_crops(tiny_corpus, 32, cache=tmp_path_factory.mktemp("crops"))
