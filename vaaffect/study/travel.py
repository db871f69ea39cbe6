"""Finished work that travels: what a study has made here, in one file for another machine.

Weights stay: at 224 pixels they take hundreds of megabytes per training. So what computes with them
(notebooks 03 and 06, `predict`) is run where they were trained, and its executed copy travels.
"""

import errno
import json
import lzma
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..base import (
    CROPS,
    LANDMARKS,
    UserError,
    cache,
    paths,
    provenance,
    refuse_to_overwrite,
    sha256_of,
    whole,
    write_atomically,
)  # fmt: skip
from . import folders

CONTENT = "content.json"  # what is in the file: profile, files with their SHA-256
_MODEL = "model.pt"
_NAMES = ("config.json", "done.json", "history.csv", "memory.json", "predictions.parquet",
          "validation.parquet")  # fmt: skip
_SAMPLES = 8  # crops of each simulated corpus that travel, to be compared


def pack(profile: str, file: Path, out: Path | None = None) -> list[str]:
    """Write what a study has finished into one file (.tar.xz): its trainings without weights, its
    executed notebooks with their tables and figures, landmarks found in simulated corpora, and
    some of their crops.

    Args:
        profile: whose study, a name.
        file: what is written.
        out: the study's report folder; `reports/<profile>` by default.

    Returns lines that say what is in it, and which trainings are damaged and were left out.
    UserError: nothing is finished, or the study is running; the file is one of the study's own, or
    is there and no earlier pack. It is written whole.
    """
    from ..training import is_finished  # torch takes seconds, and a wrong name is told at once

    folder = folders.checked_report_folder(out, profile)
    runs = paths.study_runs_folder(profile, folder)
    read = [folder / name for _, entry in _complete(folder) for name in _files(entry)]
    read += [path for place in (runs, LANDMARKS, CROPS) for path in place.rglob("*")]
    refuse_to_overwrite([folder / "manifest.json", *read], [(file, "the pack")], _is_pack)
    with folders.locked(folder), tempfile.TemporaryDirectory(prefix="vaaffect-") as temporary:
        work = Path(temporary)
        trainings, damages = [], []
        for run in [path.parent for path in sorted(runs.glob("*/done.json"))]:
            try:
                if is_finished(run):
                    _copy_run(run, work / "runs" / run.name)
                    trainings.append(run)
            except UserError as damage:
                damages.append(f"left out: {damage}")
        notebooks = _copy_report(folder, work / "report")
        for home in sorted(LANDMARKS.glob("*")):
            manifest = cache.opened(home) or {}
            if _is_simulated(str(manifest.get("label"))):  # those of people stay here
                shutil.copytree(home, work / "landmarks" / home.name)
        if not trainings and not notebooks:
            nothing = f"{runs}: holds no finished training; run the study first."
            raise UserError("\n".join([nothing, *damages]))
        _copy_some_crops(trainings, work / "crops")
        content = {"profile": profile, "files": provenance.file_hashes(work)}
        write_atomically(work / CONTENT, json.dumps(content, indent=1))
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as partial, tarfile.open(partial, "w:xz") as archive:
            for name in (CONTENT, *content["files"]):
                archive.add(work / name, name)
        real = any(not _is_simulated(_config(run)["data"]) for run in trainings)
    lines = [_in_words(profile, len(trainings), notebooks, file), *damages]
    if real:
        lines.append(
            "It holds labels and predictions of a licensed corpus, and pictures too unless "
            "SHOW_FACES was false: give it to nobody who has no licence for it."
        )
    return lines


def unpack(file: Path, out: Path | None = None) -> list[str]:
    """Put what `pack` wrote where a study of the same profile looks for it; what is finished here
    already, and whole, stays as it is, and so do notebooks that were executed later than those in
    the file.

    A simulated corpus is what its world and the simulator's code are, though another processor may
    draw some pixels otherwise.

    Returns lines that say what came, and how far crops made here differ from those it was made of.
    UserError: the file is none of `pack`'s, is damaged, or would be overwritten by what is in it.
    """
    with tempfile.TemporaryDirectory(prefix="vaaffect-") as temporary:
        work = Path(temporary)
        try:
            with tarfile.open(file, "r:xz") as archive:
                archive.extractall(work, filter="data")
            content = json.loads((work / CONTENT).read_text(encoding="utf-8"))
            profile, files = str(content["profile"]), dict(content["files"])
        except FileNotFoundError as error:
            missing = "there is no such file" if not Path(file).exists() else "was not packed"
            raise UserError(f"{file}: {missing} by `python -m vaaffect pack`.") from error
        except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError, KeyError, TypeError,
                OSError) as error:  # fmt: skip
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # of temporary files: the pack is sound
            raise UserError(f"{file}: cannot be read ({error}); pack and copy it again.") from error
        for name, sha256 in files.items():
            if not (work / name).is_file() or sha256_of(work / name) != sha256:
                raise UserError(f"{file}: is damaged at {name}; pack and copy it again.")
        folder = folders.checked_report_folder(out, profile)
        runs = paths.study_runs_folder(profile, folder)
        places = {"runs": runs, "landmarks": LANDMARKS, "report": folder}
        refuse_to_overwrite(
            [file],
            [(places[top] / rest, name) for name in files for top, _, rest in [name.partition("/")]
             if top in places],
            lambda _: True,  # of the same study, see above
        )  # fmt: skip
        from ..training import is_finished  # as in `pack`

        with folders.locked(folder):
            came = _place(work / "runs", runs, "done.json", is_finished)
            _place(work / "landmarks", LANDMARKS, cache.MANIFEST, cache.opened)
            notebooks = _merge_report(work / "report", folder)
        return [_in_words(profile, came, notebooks, file), *_compared(work / "crops")]


def _is_pack(file: Path) -> bool:
    """Whether a file is one that `pack` wrote."""
    try:
        with tarfile.open(file, "r:xz") as archive:
            return archive.next().name == CONTENT
    except (tarfile.TarError, lzma.LZMAError, EOFError, AttributeError):
        return False


def _copy_run(run: Path, target: Path) -> None:
    """Copy a finished run; its done.json says that the weights stayed."""
    target.mkdir(parents=True)
    for name in _NAMES:
        if (run / name).exists():
            shutil.copy2(run / name, target / name)
    done = cache.read_record(target / "done.json")
    if model := done.get("files", {}).pop(_MODEL, None):
        done["elsewhere"] = {_MODEL: model}
    write_atomically(target / "done.json", json.dumps(done, indent=1))


def _config(run: Path) -> dict[str, Any]:
    return cache.read_record(run / "config.json")


def _is_simulated(label: str) -> bool:
    return label.endswith("(simulated)")


def _some(folder: Path) -> np.ndarray:
    """Some crops of a folder of them, (n, S, S, 3) uint8."""
    images = np.load(folder / "images.npy", mmap_mode="r")
    return images[np.linspace(0, len(images) - 1, _SAMPLES).astype(int)]


def _copy_some_crops(trainings: list[Path], target: Path) -> None:
    """Copy some of the crops that trainings have read, if they are drawn."""
    configs = [_config(run) for run in trainings]
    keys = {key for config in configs for key in
            (config.get("crops"), *config.get("other_corpora", ()))}  # fmt: skip
    target.mkdir()
    for folder in CROPS.glob("*-*"):
        label = str((cache.opened(folder) or {}).get("label"))
        if folder.name.rsplit("-", 1)[1] in keys and _is_simulated(label):
            np.save(target / f"{folder.name}.npy", _some(folder))


def _compared(samples: Path) -> list[str]:
    """How crops from elsewhere differ from the same ones here."""
    lines = []
    for path in sorted(samples.glob("*.npy")):
        if cache.opened(CROPS / path.stem) is None:
            lines.append(f"{path.stem}: not made here yet; unpack again afterwards to compare.")
            continue
        apart = np.abs(_some(CROPS / path.stem).astype(int) - np.load(path))
        lines.append(
            f"{path.stem}: of {len(apart)} crops {np.mean(apart > 0):.2%} of the values differ "
            f"from those here, by {apart.max()} of 255 at most."
        )
    return lines


def _complete(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(number, entry) of each notebook of a report folder that has run to its end."""
    manifest = provenance.read_study_manifest(folder / "manifest.json")
    for number, entry in manifest.get("notebooks", {}).items():
        if entry.get("status") == "complete" and (folder / "notebooks" / entry["file"]).is_file():
            yield number, entry


def _files(entry: dict[str, Any]) -> list[str]:
    """An executed notebook and the files it wrote, below the report folder."""
    return [f"notebooks/{entry['file']}", *entry["outputs"]]


def _copy_notebook(entry: dict[str, Any], source: Path, target: Path) -> None:
    """Copy an executed notebook and the files it wrote from one report folder into another."""
    for name in _files(entry):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, target / name)


def _copy_report(folder: Path, target: Path) -> list[str]:
    """Copy the complete notebooks of a report folder; returns their numbers."""
    notebooks = dict(_complete(folder))
    for entry in notebooks.values():
        _copy_notebook(entry, folder, target)
    if notebooks:
        shutil.copy2(folder / "manifest.json", target / "manifest.json")
    return [*notebooks]


def _merge_report(source: Path, folder: Path) -> list[str]:
    """Add the notebooks of a packed report folder to one here, where they are newer than those
    here; returns their numbers. Whether they are what the code and data here would make, the study
    decides."""
    packed = provenance.read_study_manifest(source / "manifest.json")
    mine = provenance.read_study_manifest(folder / "manifest.json")
    if "simulated" in packed:
        folders.keep_kinds_apart(folder, mine, packed["simulated"])
    manifest = mine or {**packed, "notebooks": {}, "seconds": {}, "stages": {}}
    made = {number: entry.get("finished", "") for number, entry in _complete(folder)}
    came = [
        (number, entry)
        for number, entry in _complete(source)
        if number not in made or entry.get("finished", "") > made[number]
    ]
    for number, entry in came:
        _copy_notebook(entry, source, folder)
        manifest["notebooks"][number] = entry
        for by_step in ("seconds", "stages"):
            if number in packed.get(by_step, {}):
                manifest.setdefault(by_step, {})[number] = packed[by_step][number]
    if came:
        manifest |= {"status": "partial", "notebooks": dict(sorted(manifest["notebooks"].items()))}
        provenance.write_study_manifest(folder / "manifest.json", manifest)
    return [number for number, _ in came]


def _place(source: Path, target: Path, last: str, finished: Callable[[Path], Any]) -> int:
    """Move folders into another, but for those that are finished there; the file `last` comes last,
    by which they will be. Returns how many came."""
    count = 0
    for folder in sorted(source.glob("*")):
        place = target / folder.name
        with suppress(UserError):  # damaged
            if finished(place):
                continue
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for path in sorted(folder.rglob("*"), key=lambda path: path.name == last):
            if path.is_file():
                (place / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
                shutil.move(path, place / path.relative_to(folder))
        count += 1
    return count


def _in_words(profile: str, trainings: int, notebooks: list[str], file: Path) -> str:
    numbers = f"notebooks {', '.join(notebooks)}" if notebooks else "no notebook"
    megabytes = Path(file).stat().st_size / 1e6
    return f"{profile}: {trainings} finished trainings, {numbers}; {file}, {megabytes:.1f} MB."
