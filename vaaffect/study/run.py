"""The study: every notebook in order with one profile, from a profile to a report.

Everything a study makes is in one report folder: `notebooks/` (executed copies), `tables/` and
`figures/` (written by the notebooks), `html/` and `report.html` (pages), `manifest.json`. Trainings
go to a runs folder beside it. A study keeps what is finished and made from what there is now, so
that one which was killed goes on where it stopped.
"""

import itertools
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

from ..base import VARIABLE, Tail, Terminated, TimeOver, UserError, digest, paths, provenance, shown
from . import entries, execution, folders, kernels
from .display import Display, clock
from .profiles import default_values, load_profile, notebook_number, notebook_sources
from .request import Request

if TYPE_CHECKING:  # torch takes seconds, and a mistake in a profile is told at once
    from ..training import How


def run_study(request: Request, how: "How | None" = None) -> Path:
    """Run a study and return its report folder.

    `how` says where trainings run; by default what the environment says. It is no parameter: what
    comes out is the same, and so are the names of the runs.

    Raises:
        UserError: a profile, a folder or a notebook is not as it must be.
        KeyboardInterrupt: interrupted; what is finished is kept. TimeOver by `minutes`, Terminated
            by SIGTERM.
    """
    study = _Study(request, how)
    with (
        folders.locked(study.folder),
        tempfile.TemporaryDirectory(prefix="vaaffect-") as work,
        _stopped_by_signals(request.minutes),
    ):
        study.run(Path(work))
    return study.folder


def _check_plan(parameters: dict[str, Any]) -> None:
    """Refuse parameters that cannot work, before anything is drawn or trained."""
    from ..classical import check_names
    from ..training import Plan, check_parameters

    check_parameters(parameters)
    if "BASELINES" in parameters:
        check_names(Plan.from_parameters(parameters).classical)


@contextmanager
def _stopped_by_signals(minutes: float | None) -> Iterator[None]:
    """Raise TimeOver in the block when its minutes are over, Terminated at SIGTERM."""

    def stop(number: int, _: object) -> None:
        if number == signal.SIGTERM:
            raise Terminated("ended from outside")
        raise TimeOver(f"{minutes:g} minutes are over")

    before = {n: signal.signal(n, stop) for n in (signal.SIGTERM, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_REAL, 60 * (minutes or 0))  # 0: no alarm
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class _Step:
    """A notebook and what it is run with."""

    source: Path
    given: dict[str, Any]  # what papermill injects
    parameters: dict[str, Any]  # the same over the defaults

    @property
    def name(self) -> str:
        return self.source.stem

    @property
    def number(self) -> str:
        return notebook_number(self.source)


class _Study:
    """A study: its notebooks and folders, and its manifest, written after every step."""

    work: Path  # for temporary files
    display: Display
    manifest: dict[str, Any]

    def __init__(self, request: Request, how: "How | None"):
        """Refuse what cannot work, before anything is touched."""
        self.request, self.again = request, request.command(how)
        self.profile = load_profile(request.profile, paths.NOTEBOOKS, request.changes)
        sources = notebook_sources(paths.NOTEBOOKS)
        if not sources:
            raise UserError(f"There are no notebooks NN_name.ipynb in {shown(paths.NOTEBOOKS)}.")
        self.folder = folders.checked_report_folder(request.out, self.profile.name)
        self.runs = paths.study_runs_folder(self.profile.name, self.folder)
        self.variables = {paths.RUNS_VARIABLE: str(self.runs), **(how.variables() if how else {})}
        self.steps = [self._step(source) for source in sources]
        self.chosen = _chosen(self.steps, request.only)
        self.union: dict[str, Any] = {}  # all parameters of all notebooks
        for values in (*(s.parameters for s in self.steps), *(s.given for s in self.steps)):
            self.union |= values
        _check_plan(self.union)
        self.parameters_hash = digest({step.number: step.given for step in self.steps})
        self.library = entries.library_digest()
        self.modules = kernels.imported(step.source for step in self.chosen)

    def run(self, work: Path) -> None:
        """Do all steps."""
        self.work = work
        self.folder.mkdir(parents=True, exist_ok=True)
        previous = provenance.read_study_manifest(self.folder / "manifest.json")
        expected = self._expected_seconds(previous)
        self.display = Display(["data", *(s.name for s in self.chosen)], expected)
        self.display.say(f"{self.profile.name}: {self.profile.title}")
        if self.request.fresh:
            previous = {}
        self.manifest = {
            "status": "", "profile": self.profile.name, "title": self.profile.title,
            "simulated": self.union.get("DATA") == "simulated",
            "started": provenance.utc_now(), "finished": None, **provenance.environment(),
            "parameters_hash": self.parameters_hash, "data": {},
            "notebooks": previous.get("notebooks", {}), "seconds": previous.get("seconds", {}),
            "machines": [], "tables": {},
        }  # fmt: skip
        self._remove_former_notebooks()
        self._save()
        if self.request.fresh:  # now that the manifest knows of nothing that is finished
            if aside := folders.set_aside(self.runs):
                self.display.say(f"The earlier trainings are kept in {shown(aside)}.")
            folders.clear(self.folder)
        try:
            self._prepare()
            kept = True
            for step in self.chosen:
                if (self.request.resume or not self.request.only) and self._is_current(step):
                    self.display.keep(step.name)
                else:
                    self._execute(step)
                    kept = False
            if kept and self._has_pages_of(previous):
                self.manifest = previous
                self._save("complete")
                self._say_done()
            else:
                self._finish()
        except KeyboardInterrupt as stop:
            self._save("interrupted")
            why = f"Stopped: {stop}." if str(stop) else "Stopped."
            self.display.say(f"{why} What is finished is kept; go on with: {self.again}")
            raise
        except BaseException:
            self._save("failed")
            raise

    def _step(self, source: Path) -> _Step:
        ours = {"PROFILE": self.profile.name, "OUT": shown(self.folder)}
        given = self.profile.parameters_for(source, **ours)
        return _Step(source, given, default_values(source) | given)

    def _expected_seconds(self, previous: dict[str, Any]) -> dict[str, float]:
        """Per step: what the last study with these parameters took, else what the profile says."""
        same = previous.get("parameters_hash") == self.parameters_hash
        known = self.profile.expected_seconds | (previous.get("seconds", {}) if same else {})
        fallback = sum(known.values()) / len(known) if known else 60.0
        names = {"data": "data"} | {step.number: step.name for step in self.steps}
        return {name: known.get(number, fallback) for number, name in names.items()}

    def _save(self, status: str = "running") -> None:
        self.manifest["status"] = status
        self.manifest["machines"] = entries.machines(self.runs)
        provenance.write_study_manifest(self.folder / "manifest.json", self.manifest)

    def _remove_former_notebooks(self) -> None:
        """Remove what notebooks have left that are no part of the study any more."""
        present = {step.source.name for step in self.steps}
        for number, entry in list(self.manifest["notebooks"].items()):
            if entry["file"] not in present:
                for name in entries.outputs(self.folder, number):
                    (self.folder / name).unlink()
                self._copy(entry["file"]).unlink(missing_ok=True)
                (self.folder / "html" / entry["file"]).with_suffix(".html").unlink(missing_ok=True)
                del self.manifest["notebooks"][number]
                self.manifest["seconds"].pop(number, None)

    def _prepare(self) -> None:
        from ..corpora import data  # draws faces: OpenCV and numpy are not needed before

        def progress(what: str, done: int, total: int) -> None:
            self.display.follow([{"what": what, "done": done, "total": total}])

        self.display.start("data")
        self.manifest["data"] = data.prepare_data(self.union, progress)
        # Data that was there already says nothing about how long making it takes.
        before = self.manifest["seconds"].get("data", 0.0)
        self.manifest["seconds"]["data"] = max(before, round(self.display.end(), 1))

    def _execute(self, step: _Step) -> None:
        """Run a notebook; what it wrote in an earlier study is removed first."""
        key, lineage = self._keys(step)
        clean = execution.cleaner(self._replacements())
        entry: dict[str, Any] = {
            "file": step.source.name, "status": "running", "parameters": clean(step.parameters),
            "key": key, "lineage": lineage,
            "commit": self.manifest["commit"], "dirty": self.manifest["dirty"],
        }  # fmt: skip
        notebooks = self.manifest["notebooks"] | {step.number: entry}
        self.manifest["notebooks"] = dict(sorted(notebooks.items()))
        self._save()
        for name in entries.outputs(self.folder, step.number):
            (self.folder / name).unlink()
        copy = self._copy(step.source.name)
        events = self.work / f"progress-{step.number}.jsonl"
        kernel = kernels.kernel_spec(self.modules, {VARIABLE: str(events), **self.variables})
        self.display.start(step.name)
        try:
            with Tail(events, self.display.follow):
                execution.execute(step.source, copy, step.given, kernel, self.work, clean)
        except execution.NotebookError as failure:
            self.display.end(failed=True)
            entry["status"] = "failed"
            raise UserError(
                f"{step.source.name} stopped at {failure}\n"
                f"What ran until then: {shown(copy.with_suffix('.failed.ipynb'))}\n"
                f"Put that right, then continue with: {self.again}"
            ) from failure
        if step.number == entries.REPORT:
            from ..report import cards, read_record  # as in `_finish`

            cards.write_cards(read_record(str(self.folder)))
        seconds = self.manifest["seconds"][step.number] = round(self.display.end(), 1)
        written = entries.outputs(self.folder, step.number)
        entry |= {"status": "complete", "seconds": seconds, "outputs": written}
        self._save()

    def _finish(self) -> None:
        """Build the pages and close the manifest."""
        from ..report import pages, pdf  # matplotlib, pandas and torch, which take seconds

        current = list(itertools.takewhile(self._is_current, self.steps))
        stale = [step.number for step in self.steps[len(current) :]]  # each builds on the last
        sources = [s.source for s in self.steps if self._copy(s.source.name).is_file()]
        self.manifest["finished"] = provenance.utc_now()
        self.manifest["tables"] = provenance.file_hashes(self.folder / "tables")
        for note in pages.build_pages(self.folder, sources, self.manifest):
            self.display.say(f"note: {note}")
        page = self.folder / "report.html"
        if page.is_file():
            try:
                pdf.print_report(self.folder)
            except UserError as missing:  # the study is whole without it
                self.display.say(f"note: {missing}")
        self.manifest["pages"] = entries.pages(self.folder)
        self._save("partial" if stale else "complete")
        if stale:
            whole = replace(self.request, only=(), resume=False).command()
            self.display.say(
                f"Notebooks {', '.join(stale)} were not run with the present code, parameters and"
                f" data; this brings them up to date: {whole}"
            )
        self._say_done()

    def _has_pages_of(self, earlier: dict[str, Any]) -> bool:
        """Whether a complete study before this one made the pages, and they would be the same."""
        names = ("profile", "title", "parameters_hash")
        same = all(earlier.get(name) == self.manifest[name] for name in names)
        complete = same and earlier.get("status") == "complete"
        return complete and earlier.get("pages") == entries.pages(self.folder)

    def _say_done(self) -> None:
        page = self.folder / "report.html"
        page = page if page.is_file() else self.folder / "html"
        self.display.say(f"Done in {clock(self.display.elapsed())}: {shown(page)}")

    def _keys(self, step: _Step) -> tuple[str, str]:
        """(key, lineage) of a notebook on top of what the earlier ones have left on disk."""
        index = self.steps.index(step)
        before = ""
        if index:
            entry = self.manifest["notebooks"].get(self.steps[index - 1].number, {})
            before = entry.get("lineage", "") if entry.get("status") == "complete" else ""
        given = {name: value for name, value in step.given.items() if name != "OUT"}
        data = self.manifest["data"]
        return entries.notebook_keys(step.source, given, self.library, data, before)

    def _is_current(self, step: _Step) -> bool:
        """Whether the executed copy and what it wrote are whole and made from what there is now."""
        entry = self.manifest["notebooks"].get(step.number, {})
        if entry.get("status") != "complete" or entry.get("key") != self._keys(step)[0]:
            return False
        written = entry.get("outputs", {})
        if not written.items() <= entries.outputs(self.folder, step.number).items():
            return False
        with suppress(OSError, ValueError):
            copy = nbformat.read(self._copy(step.source.name), as_version=4)
            return execution.is_complete(copy)
        return False

    def _copy(self, name: str) -> Path:
        """Where a notebook's executed copy is."""
        return self.folder / "notebooks" / name

    def _replacements(self) -> dict[str, str]:
        """Local paths, and what the stored copies say instead."""
        texts = [value for value in self.union.values() if isinstance(value, str)]
        folder = shown(self.folder)
        pairs = {
            **{value: f"…/{Path(value).name}" for value in texts if Path(value).is_absolute()},
            str(self.folder): self.folder.name if Path(folder).is_absolute() else folder,
            str(self.runs): f"runs/{self.runs.name}",
            str(self.work): "work",
            f"{paths.ROOT}/": "",
            str(paths.ROOT): ".",
            sys.prefix: "python",
            str(Path.home()): "~",
            tempfile.gettempdir(): "tmp",
        }
        return {path: said for path, said in pairs.items() if path.count("/") > 0 and path != "/"}


def _chosen(steps: list[_Step], only: Sequence[str]) -> list[_Step]:
    wanted = {number.zfill(2) for number in only}
    valid = [step.number for step in steps]
    if unknown := sorted(wanted.difference(valid)):
        raise UserError(
            f"--only {' '.join(unknown)}: there is no such notebook; valid: {', '.join(valid)}."
        )
    return [step for step in steps if not only or step.number in wanted]
