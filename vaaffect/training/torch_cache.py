"""Files of weights in torch's cache, downloaded or placed there by hand, known by their names.

The name of each of torchvision's files ends in the first digits of the file's own SHA-256. A file
that was cut off, a page that a browser saved in its place, or other weights under that name would
give errors that name no file, or pass for the right ones.
"""

import re
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlparse

import torch

from ..base import UserError, known_sha256


def place_of(url: str) -> Path:
    """The file in which torchvision looks for what is at an address."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def fault_of(url: str, content: str) -> str | None:
    """Why what is at an address cannot be read from the cache, a sentence with the cure; None where
    it can. `content` is what the file holds, in the plural.

    The file is hashed once in a process. One whose name has no hash is taken as it is.
    """
    path = place_of(url)
    cure = f"download {url} where there is a network and put it into {path.parent} as {path.name}"
    if not path.exists():
        return f"{path}: {content} are missing; {cure}."
    try:
        found, wanted = known_sha256(path), hash_in_name(path.name)
    except OSError as error:
        return f"{path}: {content} cannot be read ({error.strerror}); {cure}."
    if found.startswith(wanted):
        return None
    return (
        f"{path}: {content} are damaged or incomplete, or something else has their name (the "
        f"file's SHA-256 begins with {found[: len(wanted)]}); {cure}."
    )


def fetch(url: str, content: str, progress: bool = False) -> None:
    """Download a file into the cache, over one that is there; UserError where it fails. `content`
    as of `fault_of`."""
    path = place_of(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_in_name(path.name), progress)
    except (OSError, RuntimeError, HTTPException) as error:  # RuntimeError: it has another hash
        raise UserError(f"{fault_of(url, content)} (The download failed: {error}.)") from error


def require(url: str, content: str) -> None:
    """Download a file unless it is there; UserError where that fails, or where another file has its
    place. `content` as of `fault_of`."""
    if not place_of(url).exists():
        fetch(url, content, progress=True)
    if fault := fault_of(url, content):
        raise UserError(fault)


def hash_in_name(name: str) -> str:
    """How the SHA-256 of a file begins: "f37072fd" of "resnet18-f37072fd.pth"; "" where the name
    does not say so."""
    digits = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    return digits[1] if digits else ""
