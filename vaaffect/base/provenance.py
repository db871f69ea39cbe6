"""What a study records about itself: code, versions, device, hashes. Never a path or a name."""

import importlib.metadata
import json
import platform
import re
import subprocess
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import paths
from .cache import digest
from .files import sha256_of, write_atomically

LIBRARY = Path(__file__).resolve().parents[1]


def environment() -> dict[str, Any]:
    """Where the study runs: commit, Python, package versions, platform, device."""
    commit, dirty = source_state()
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
    here = environment()
    commit = (here["commit"] or "unknown")[:10] + (
        " with uncommitted changes" * bool(here["dirty"])
    )
    chosen = ("torch", "torchvision", "numpy", "pandas", "scikit-learn", "opencv-python-headless")
    versions = ", ".join(f"{name} {here['packages'].get(name)}" for name in chosen)
    device = (
        here["device"].get("gpu") or f"{here['device']['cpu']}, {here['device']['threads']} threads"
    )
    lines = (f"profile {profile}", f"commit  {commit}", f"python  {here['python']}, {versions}")
    return "\n".join((*lines, f"device  {device}"))


def source_state() -> tuple[str | None, bool | None]:
    """The commit of the sources and whether they differ from it; None where git cannot say.

    The reports do not count: a study rewrites them itself.
    """

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=paths.ROOT, capture_output=True, text=True, timeout=60
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

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
    found: dict[str, Any] = {"cpu": _processor()}
    try:
        import torch  # takes seconds, and the runner itself does not need it
    except ImportError:
        return found
    found["threads"] = torch.get_num_threads()
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name(0)
        found["gpus"] = torch.cuda.device_count()
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def file_hashes(folder: Path, pattern: str = "*") -> dict[str, str]:
    """SHA-256 of each file below a folder, by its path relative to it."""
    return {
        file.relative_to(folder).as_posix(): sha256_of(file)
        for file in sorted(folder.rglob(pattern))
        if file.is_file()
    }


def notebook_keys(
    notebook: Path,
    parameters: Mapping[str, Any],
    library: str,
    data: Mapping[str, str],
    before: str,
) -> tuple[str, str]:
    """What an executed notebook depends on, as two hashes (key, lineage).

    Notebooks hand files to the later ones, so the lineage covers the code cells, the parameters,
    the library, the data, and the lineage of the notebook before. The key adds the prose: other
    prose means another page, but no other numbers for those who come later.
    """
    import nbformat  # takes seconds, and a notebook that prints its colophon does not need it

    cells = nbformat.read(notebook, as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    prose = [(index, cell.source) for index, cell in enumerate(cells) if cell.cell_type != "code"]
    lineage = digest(code, dict(parameters), library, dict(data), before)
    return digest(lineage, prose), lineage


def library_hash() -> str:
    """One hash over the library's sources: code, quoted figures and texts."""
    return digest(*(file_hashes(LIBRARY, pattern) for pattern in ("*.py", "*.csv", "*.j2")))


def utc_now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def read_study_manifest(path: Path) -> dict[str, Any]:
    """A manifest, or an empty one where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_study_manifest(path: Path, content: Mapping[str, Any]) -> None:
    """Write a manifest at once: a reader sees the old one or the whole new one."""
    text = json.dumps(content, indent=1, ensure_ascii=False, default=str)
    write_atomically(path, text + "\n")
