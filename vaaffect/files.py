"""Files that are whole or absent, and hashes that tell."""

import hashlib
import os
from pathlib import Path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a file under another name, then rename it: a kill never leaves half of it."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_bytes(data.encode() if isinstance(data, str) else data)
    partial.replace(path)
