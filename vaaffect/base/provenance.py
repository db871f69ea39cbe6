"""What a study records about itself: code, versions, device, hashes. Never a path or a name."""

import importlib.metadata
import json
import platform
import re
import subprocess
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import paths
from .files import sha256_of, write_atomically


def environment() -> dict[str, Any]:
    """Where the study runs: commit, Python, package versions, platform, device."""
    commit, dirty = _source_state()
    return {
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": device(),
        "packages": package_versions(),
    }


def colophon(profile: str) -> str:
    """What a notebook prints at its end: profile, commit, versions, device."""
    now = environment()
    commit = (now["commit"] or "unknown")[:10]
    changes = " with uncommitted changes" if now["dirty"] else ""
    chosen = ("torch", "torchvision", "numpy", "pandas", "scikit-learn", "opencv-python-headless")
    versions = ", ".join(f"{name} {now['packages'].get(name)}" for name in chosen)
    cpu, threads = now["device"]["cpu"], now["device"]["threads"]
    return (
        f"profile {profile}\n"
        f"commit  {commit}{changes}\n"
        f"python  {now['python']}, {versions}\n"
        f"device  {now['device'].get('gpu') or f'{cpu}, {threads} threads'}"
    )


def _source_state() -> tuple[str | None, bool | None]:
    """The commit of the sources and whether they differ from it; None where git cannot say."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=paths.ROOT, capture_output=True, text=True, timeout=60
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # The reports do not count: a study rewrites them itself.
    changes = git("status", "--porcelain", "--", ".", ":(exclude)reports")
    return git("rev-parse", "HEAD"), None if changes is None else bool(changes)


def package_versions() -> dict[str, str | None]:
    """The installed version of each package that pyproject.toml asks for; None if it is missing."""
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions: dict[str, str | None] = {}
    for requirement in project["dependencies"]:
        name = re.match(r"[\w.-]+", requirement)[0]
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def device() -> dict[str, Any]:
    """The processor, and the GPU where there is one."""
    import torch  # takes seconds, and not everybody who imports this room needs it

    names: dict[str, Any] = {"cpu": _processor(), "threads": torch.get_num_threads()}
    if torch.cuda.is_available():
        names["gpu"] = torch.cuda.get_device_name(0)
        names["gpus"] = torch.cuda.device_count()
    return names


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def file_hashes(folder: Path, pattern: str = "*") -> dict[str, str]:
    """SHA-256 of each file below a folder that fits the pattern, by its path relative to it."""
    files = [path for path in sorted(folder.rglob(pattern)) if path.is_file()]
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


def utc_now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def read_study_manifest(path: Path) -> dict[str, Any]:
    """A manifest, or an empty one where there is none that can be read."""
    with suppress(OSError, ValueError):
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    return {}


def write_study_manifest(path: Path, content: Mapping[str, Any]) -> None:
    """Write a manifest at once: a reader sees the old one or the whole new one."""
    text = json.dumps(content, indent=1, ensure_ascii=False, default=str)
    write_atomically(path, text + "\n")
