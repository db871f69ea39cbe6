"""Weights placed in torch's cache by hand: the right file is taken, any other one is named."""

import os
import threading
from functools import partial
from hashlib import sha256
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest
import torch
from torchvision import models as zoo

from vaaffect.base import UserError
from vaaffect.training import torch_cache
from vaaffect.training.networks import V1, build_model

NAME = "resnet18-f37072fd.pth"


@pytest.fixture
def cache(tmp_path, monkeypatch, no_network) -> Path:
    """An empty cache on a machine without a network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def saved(network: str, path: Path) -> bytes:
    """The bytes of a whole file of weights."""
    torch.manual_seed(0)
    torch.save(zoo.get_model(network, weights=None).state_dict(), path)
    return path.read_bytes()


def test_whatever_lies_under_the_name_of_imagenets_weights_is_named_with_the_cure(cache, tmp_path):
    whole = saved("resnet18", tmp_path / "weights.pth")
    files = {
        "empty": b"", "half": whole[: len(whole) // 2], "but for a byte": whole[:-1],
        "a page": b"<!DOCTYPE html><html><body>Sign in to download</body></html>",
        "another network": saved("squeezenet1_1", tmp_path / "other.pth"),
        "random weights": whole,  # of the right shapes: they would pass for ImageNet's
    }  # fmt: skip
    for name, content in files.items():
        (cache / NAME).write_bytes(content)
        for model in ("resnet18", "affwildnet_resnet18"):
            with pytest.raises(UserError) as error:
                build_model(model, "imagenet")
            said = str(error.value)
            assert said.startswith(f"{cache / NAME}: the ImageNet weights of resnet18 are "), name
            assert f"begins with {sha256(content).hexdigest()[:8]})" in said, name
            assert "download https://download.pytorch.org/models/resnet18-f37072fd.pth" in said
            assert "\n" not in said


def test_a_folder_in_their_place_is_named(cache):
    (cache / NAME).mkdir()
    with pytest.raises(UserError, match=rf"{NAME}: the ImageNet weights .* cannot be read \(Is a "):
        build_model("resnet18", "imagenet")


def test_the_file_whose_name_has_its_hash_is_taken(cache):
    content = b"weights as they were given out"
    url = f"https://nobody.invalid/net-{sha256(content).hexdigest()[:8]}.pth"
    place = torch_cache.place_of(url)
    assert place.parent == cache
    place.write_bytes(content)
    torch_cache.require(url, "these weights")
    # Hashed once in a process: as long as size and time stay it counts as it was, then no more.
    state = place.stat()
    place.write_bytes(content.upper())
    os.utime(place, ns=(state.st_atime_ns, state.st_mtime_ns))
    torch_cache.require(url, "these weights")
    os.utime(place, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    with pytest.raises(UserError, match="these weights are damaged or incomplete, or something"):
        torch_cache.require(url, "these weights")
    place.write_bytes(content)
    torch_cache.require(url, "these weights")


def test_a_name_without_a_hash_cannot_be_checked(cache):
    url = "https://nobody.invalid/weights-of-1999.pth"
    torch_cache.place_of(url).write_bytes(b"whatever")
    assert torch_cache.hash_in_name("weights-of-1999.pth") == ""
    torch_cache.require(url, "these weights")


def test_every_file_of_imagenets_weights_has_its_hash_in_its_name():
    names = [name for name in zoo.list_models(zoo)
             if V1 in zoo.get_model_weights(name).__members__]  # fmt: skip
    urls = {name: zoo.get_model_weights(name)[V1].url for name in names}
    assert len(urls) > 70
    for name, url in urls.items():
        assert len(torch_cache.hash_in_name(torch_cache.place_of(url).name)) >= 8, name


def test_a_page_that_a_proxy_sends_in_place_of_weights_is_no_download(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / NAME).write_text("<html>Sign in first</html>")
    handler = partial(SimpleHTTPRequestHandler, directory=str(pages))
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/{NAME}"
    with pytest.raises(UserError, match=r"are missing; .*The download failed: invalid hash value"):
        torch_cache.require(url, "these weights")
    assert not list(cache.iterdir())
    (pages / "net-0.pth").write_bytes(b"x")
    digest = sha256(b"x").hexdigest()
    (pages / "net-0.pth").rename(pages / f"net-{digest}.pth")
    torch_cache.require(f"http://127.0.0.1:{server.server_port}/net-{digest}.pth", "these weights")
    assert [path.read_bytes() for path in cache.iterdir()] == [b"x"]
    server.shutdown()
    server.server_close()
