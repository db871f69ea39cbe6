"""The study: every notebook in order with one profile, from nothing to a report.

Everything a study makes is in one report folder: `notebooks/` (executed copies), `tables/` and
`figures/` (written by the notebooks), `html/` and `report.html` (pages), `manifest.json`. Trainings
go to a runs folder beside it, so that a killed study goes on where it stopped.
"""

import itertools
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import nbformat

from ..base import VARIABLE, Tail, TimeOver, UserError, digest, paths, provenance, shown
from ..report import pages, pdf
from ..training import How
from . import execution
from .display import Display, clock
from .folders import MADE, PAGES, checked_report_folder, locked, study_runs_folder
from .profiles import Profile, load_profile, notebook_number, notebook_sources, read_parameters

__all__ = ["notebook_sources", "run_study"]

Prepare = Callable[[dict[str, Any], Callable[[str, int, int], None]], dict[str, str]]
UNKNOWN_SECONDS = 60.0  # expected of a step about which nothing is known


def run_study(
    profile: str = "demo",
    only: Sequence[str] = (),
    resume: bool = False,
    out: Path | None = None,
    how: How | None = None,
    minutes: float | None = None,
    changes: Sequence[str] = (),
    *,
    notebooks_dir: Path = paths.NOTEBOOKS,
    profiles_dir: Path | None = None,
    runs_dir: Path = paths.RUNS,
    prepare: Prepare | None = None,
    stream: TextIO | None = None,
    live: bool | None = None,
) -> Path:
    """Run a study and return its report folder.

    Args:
        profile: name of a file in the profiles folder.
        only: notebook numbers ("03", "p1"); the others, and all trainings, are left as they are.
        resume: keep every notebook that is complete and whose inputs are still the same.
        out: the report folder; `reports/<profile>` by default.
        how: where trainings run; by default what the environment says. It is no parameter: what
            comes out is the same, and so are the names of the runs.
        minutes: after so many the study stops, and `resume` goes on. A training loses an epoch at
            most and a corpus the clips being drawn; what has no checkpoint inside (a pretext
            training, what a notebook computes beside trainings) begins anew, so it has to fit.
        changes: "NAME=VALUE" or "NAME.KEY=VALUE", over what the profile says, see
            `profiles.changed`; `out` must be given too.
        notebooks_dir: where the notebooks are.
        profiles_dir: where the profiles are; `profiles` beside the notebooks by default.
        runs_dir: trainings go to a folder in here.
        prepare: makes the data from all parameters and a progress function (what, done,
            total), and returns their hashes; `data.prepare_data` by default.
        stream: where progress goes; standard output by default.
        live: redraw one progress line (default: where the stream is a terminal).

    Raises:
        UserError: a profile, a folder or a notebook is not as it must be.
        KeyboardInterrupt: interrupted; what is finished is kept. TimeOver: by `minutes`.
    """
    if changes and out is None:
        raise UserError(
            f"--set makes another study than the profile {profile}; name a folder for it with "
            f"--out, so that {shown(paths.REPORTS / profile)} stays what the profile makes."
        )
    profiles_dir = profiles_dir or notebooks_dir / "profiles"
    settings = load_profile(profile, profiles_dir, notebooks_dir, changes)
    notebooks = notebook_sources(notebooks_dir)
    if not notebooks:
        raise UserError(f"There are no notebooks NN_name.ipynb in {shown(notebooks_dir)}.")
    chosen = _chosen(notebooks, only)
    folder = checked_report_folder(out, profile, notebooks_dir)
    runs = study_runs_folder(runs_dir, folder, profile)
    with locked(runs_dir, folder), tempfile.TemporaryDirectory(prefix="vaaffect-") as work:
        study = _Study(settings, notebooks, folder, runs, Path(work), how)
        if not (resume or only):
            study.start_afresh()
        study.display = Display(
            ["data", *(notebook.stem for notebook in chosen)],
            study.expected_seconds(),
            stream or sys.stdout,
            live,
        )
        again = "python -m vaaffect study --profile " + profile
        again += f" --only {' '.join(only)}" if only else ""
        again += f" --out {out}" if out is not None else ""
        again += f" --set {shlex.join(changes)}" if changes else ""
        again += how.arguments() if how is not None else ""
        again += f" --minutes {minutes:g}" if minutes is not None else ""
        with _within(minutes):
            study.run(chosen, resume, prepare or _default_prepare, again + " --resume")
    return folder


@contextmanager
def _within(minutes: float | None) -> Iterator[None]:
    """Raise TimeOver in the block when its minutes are over."""

    def stop(*_: object) -> None:
        raise TimeOver(f"{minutes:g} minutes are over")

    if minutes is None:
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class _Study:
    """A study that is running: its folders, and its manifest, written after every step."""

    display: Display

    def __init__(
        self,
        profile: Profile,
        notebooks: list[Path],
        folder: Path,
        runs: Path,
        work: Path,
        how: How | None = None,
    ):
        self.variables = {"VAAFFECT_RUNS": str(runs), **(how.variables() if how else {})}
        self.profile, self.notebooks = profile, notebooks
        self.folder, self.runs, self.work = folder, runs, work
        self.out = shown(folder)
        given = {"PROFILE": profile.name, "OUT": self.out}
        self.given: dict[str, dict[str, Any]] = {}  # per notebook number: what papermill injects
        self.parameters: dict[str, dict[str, Any]] = {}  # the same over the defaults
        for notebook in notebooks:
            declared = read_parameters(notebook)
            own = {name: value for name, value in given.items() if name in declared}
            nn = notebook_number(notebook)
            self.given[nn] = {**profile.parameters_for(notebook), **own}
            defaults = {parameter.name: parameter.default for parameter in declared.values()}
            self.parameters[nn] = {**defaults, **self.given[nn]}
        self.previous = provenance.read_study_manifest(folder / "manifest.json")
        self.manifest: dict[str, Any] = {"notebooks": dict(self.previous.get("notebooks", {}))}
        self.manifest["seconds"] = dict(self.previous.get("seconds", {}))
        self.library = provenance.library_hash()

    def union(self) -> dict[str, Any]:
        """All parameters of all notebooks, the profile's values over the defaults."""
        union: dict[str, Any] = {}
        for values in [*self.parameters.values(), *self.given.values()]:
            union.update(values)
        return union

    def start_afresh(self) -> None:
        """Set the trainings of the last study aside and clear its report folder."""
        if self.runs.exists():
            aside = self.runs.with_name(self.runs.name + ".previous")
            shutil.rmtree(aside, ignore_errors=True)
            self.runs.rename(aside)
        for name in MADE:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in PAGES:
            (self.folder / name).unlink(missing_ok=True)
        self.manifest["notebooks"], self.manifest["seconds"] = {}, {}

    def expected_seconds(self) -> dict[str, float]:
        """Per step: what the last study with these parameters took, else what the profile says."""
        same = self.previous.get("parameters_hash") == digest(self.given)
        measured = self.previous.get("seconds", {}) if same else {}
        known = {**self.profile.expected_seconds, **measured}
        fallback = sum(known.values()) / len(known) if known else UNKNOWN_SECONDS
        names = {"data": "data"} | {notebook_number(path): path.stem for path in self.notebooks}
        return {name: known.get(step, fallback) for step, name in names.items()}

    def save(self, status: str) -> None:
        """Write the manifest."""
        self.manifest["status"] = status
        provenance.write_study_manifest(self.folder / "manifest.json", self.manifest)

    def run(self, chosen: list[Path], resume: bool, prepare: Prepare, again: str) -> None:
        """Do all steps; `again` is the command that goes on after a failure."""
        union = self.union()
        self.manifest = {
            "status": "running",
            "profile": self.profile.name,
            "title": self.profile.title,
            "simulated": union.get("DATA") == "simulated",
            "started": provenance.utc_now(),
            "finished": None,
            **provenance.environment(),
            "parameters_hash": digest(self.given),
            "data": {},
            **self.manifest,
            "tables": {},
        }
        self.save("running")
        self.display.say(f"{self.profile.name}: {self.profile.title}")
        try:
            self._prepare(prepare, union)
            for notebook in chosen:
                self._notebook(notebook, resume, again)
            self._finish()
        except KeyboardInterrupt as stop:
            self.save("interrupted")
            why = f"Stopped: {stop}." if str(stop) else "Stopped."
            self.display.say(f"{why} What is finished is kept; go on with: {again}")
            raise
        except BaseException:
            self.save("failed")
            raise

    def _prepare(self, prepare: Prepare, union: dict[str, Any]) -> None:
        def progress(what: str, done: int, total: int) -> None:
            self.display.follow([{"what": what, "done": done, "total": total}])

        self.display.start("data")
        self.manifest["data"] = dict(prepare(union, progress))
        # Data that was there already says nothing about how long making it takes.
        before = self.manifest["seconds"].get("data", 0.0)
        self.manifest["seconds"]["data"] = max(before, round(self.display.end(), 1))

    def _notebook(self, notebook: Path, resume: bool, again: str) -> None:
        nn, entries = notebook_number(notebook), self.manifest["notebooks"]
        if resume and self._is_current(notebook):
            self.display.keep(notebook.stem)
            return
        key, lineage = self._keys(notebook)
        entries[nn] = {
            "file": notebook.name,
            "status": "running",
            "parameters": execution.cleaner(self._replacements())(self.parameters[nn]),
            "key": key,
            "lineage": lineage,
            "commit": self.manifest["commit"],
            "dirty": self.manifest["dirty"],
        }
        self.manifest["notebooks"] = dict(sorted(entries.items()))
        self.save("running")
        events = self.work / f"progress-{nn}.jsonl"
        target = self.folder / "notebooks" / notebook.name
        self.display.start(notebook.stem)
        try:
            with Tail(events, self.display.follow):
                execution.execute(
                    notebook,
                    target,
                    self.given[nn],
                    {VARIABLE: str(events), **self.variables},
                    self.work,
                    self._replacements(),
                )
        except execution.NotebookError as failure:
            self.display.end(failed=True)
            entries[nn]["status"] = "failed"
            raise UserError(
                f"{notebook.name} stopped at {failure}\n"
                f"What ran until then: {shown(target.with_suffix('.failed.ipynb'))}\n"
                f"Put that right, then continue with: {again}"
            ) from failure
        seconds = round(self.display.end(), 1)
        self.manifest["seconds"][nn] = seconds
        self.manifest["notebooks"][nn] |= {"status": "complete", "seconds": seconds}
        self.save("running")

    def _finish(self) -> None:
        """Build the pages and close the manifest."""
        current = list(itertools.takewhile(self._is_current, self.notebooks))
        stale = [
            notebook_number(path) for path in self.notebooks[len(current) :]
        ]  # each builds on the last
        sources = [
            path for path in self.notebooks if (self.folder / "notebooks" / path.name).is_file()
        ]
        self.manifest["finished"] = provenance.utc_now()
        self.manifest["tables"] = provenance.file_hashes(self.folder / "tables")
        for note in pages.build_pages(self.folder, sources, self.manifest):
            self.display.say(f"note: {note}")
        if (self.folder / "report.html").is_file():
            try:
                pdf.print_report(self.folder)
            except UserError as missing:  # the study is whole without it
                self.display.say(f"note: {missing}")
        self.save("partial" if stale else "complete")
        if stale:
            self.display.say(
                f"Notebooks {', '.join(stale)} were not run with the present code, parameters and"
                " data; --resume brings them up to date."
            )
        page = self.folder / "report.html"
        page = page if page.is_file() else self.folder / "html"
        self.display.say(f"Done in {clock(self.display.elapsed())}: {shown(page)}")

    def _keys(self, notebook: Path) -> tuple[str, str]:
        """(key, lineage) of a notebook on top of what the earlier ones have left on disk."""
        nn = notebook_number(notebook)
        index = self.notebooks.index(notebook)
        before = ""
        if index:
            entry = self.manifest["notebooks"].get(notebook_number(self.notebooks[index - 1]), {})
            before = entry.get("lineage", "") if entry.get("status") == "complete" else ""
        given = {name: value for name, value in self.given[nn].items() if name != "OUT"}
        return provenance.notebook_keys(
            notebook, given, self.library, self.manifest["data"], before
        )

    def _is_current(self, notebook: Path) -> bool:
        """Whether the executed copy is whole and made from what there is now."""
        entry = self.manifest["notebooks"].get(notebook_number(notebook), {})
        if entry.get("status") != "complete" or entry.get("key") != self._keys(notebook)[0]:
            return False
        try:
            copy = nbformat.read(self.folder / "notebooks" / notebook.name, as_version=4)
        except (OSError, ValueError):
            return False
        return execution.is_complete(copy)

    def _replacements(self) -> dict[str, str]:
        """Local paths, and what the stored copies say instead."""
        given = [value for value in self.union().values() if isinstance(value, str)]
        pairs = {
            **{value: f"…/{Path(value).name}" for value in given if Path(value).is_absolute()},
            str(self.folder): self.folder.name if Path(self.out).is_absolute() else self.out,
            str(self.runs): f"runs/{self.runs.name}",
            str(self.work): "work",
            f"{paths.ROOT}/": "",
            str(paths.ROOT): ".",
            sys.prefix: "python",
            str(Path.home()): "~",
            tempfile.gettempdir(): "tmp",
        }
        return {path: said for path, said in pairs.items() if path.count("/") > 0 and path != "/"}


def _default_prepare(
    parameters: dict[str, Any], progress: Callable[[str, int, int], None]
) -> dict[str, str]:
    from ..corpora import data  # draws faces: OpenCV and numpy are not needed before

    return data.prepare_data(parameters, progress)


def _chosen(notebooks: list[Path], only: Sequence[str]) -> list[Path]:
    by_number = {notebook_number(notebook): notebook for notebook in notebooks}
    if not only:
        return notebooks
    wanted = {given.zfill(2) for given in only}
    unknown = sorted(wanted - set(by_number))
    if unknown:
        raise UserError(
            f"--only {' '.join(unknown)}: there is no such notebook; valid: {', '.join(by_number)}."
        )
    return [notebook for nn, notebook in by_number.items() if nn in wanted]
