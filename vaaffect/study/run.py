"""The study: data, trainings and every notebook with one profile, from a profile to a report.

Everything that is trained, whatever comes out, is trained first, as many trainings at a time as
there are cores; then the notebooks find it finished, and run side by side where they do not need
each other. A study keeps what is finished and made from what there is now, so that one which was
killed goes on where it stopped.

Everything it makes is in one report folder: `notebooks/` (executed copies), `tables/` and
`figures/` (written by the notebooks), `html/` and `report.html` (pages), `manifest.json`. Trainings
go to a runs folder beside it.
"""

import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

from ..base import VARIABLE, Tail, UserError, cores, digest, forks, paths, provenance, shown
from ..base.stopping import stopped_by_signals
from . import entries, execution, folders, kernels, preflight, steps, trainings
from .display import Display, clock
from .profiles import load_profile
from .request import Request
from .steps import Step
from .times import Times, expected_seconds

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
        stopped_by_signals(request.minutes),
    ):
        study.run(Path(work))
    return study.folder


class _Study:
    """A study: its notebooks and folders, and its manifest, written after every step."""

    work: Path  # for temporary files
    display: Display
    manifest: dict[str, Any]
    times: Times

    def __init__(self, request: Request, how: "How | None"):
        """Refuse what cannot work, before anything is touched."""
        self.request, self.again = request, request.command(how)
        self.profile = load_profile(request.profile, paths.NOTEBOOKS, request.changes)
        self.folder = folders.checked_report_folder(request.out, self.profile.name)
        self.runs = paths.study_runs_folder(self.profile.name, self.folder)
        self.steps = steps.read_steps(self.profile, shown(self.folder))
        if not self.steps:
            raise UserError(f"There are no notebooks NN_name.ipynb in {shown(paths.NOTEBOOKS)}.")
        self.chosen = steps.chosen(self.steps, request.only)
        self.union = steps.all_parameters(self.steps)
        self.how, self.at_once = trainings.how_to_train(how)
        self.variables = {paths.RUNS_VARIABLE: str(self.runs), **self.how.variables()}
        self.parameters_hash = digest({step.number: step.given for step in self.steps})
        self.library = entries.library_digest()
        self.modules = kernels.imported(step.source for step in self.chosen)
        forks(*kernels.NEEDED, *self.modules)
        long = self.profile.expected_seconds.get("trainings", 0) > preflight.LONG
        measure = request.trains and (long or self.union.get("DATA", "simulated") != "simulated")
        training = self.steps if request.trains else self.chosen
        self.found = preflight.look(self.steps, training, self.runs, self.folder, self.how, measure)
        self.found.refuse()

    def run(self, work: Path) -> None:
        """Do all steps."""
        self.work = work
        self.folder.mkdir(parents=True, exist_ok=True)
        previous = provenance.read_study_manifest(self.folder / "manifest.json")
        simulated = self.union.get("DATA") == "simulated"
        folders.keep_kinds_apart(self.folder, previous, simulated)
        first = ["data", "trainings"] if self.request.trains else ["data"]
        names = [*first, *(step.name for step in self.chosen)]
        self.times = Times()
        alone = [step.name for step in self.chosen if step.alone]
        same = previous.get("parameters_hash") == self.parameters_hash
        earlier = previous.get("seconds", {}) if same else {}
        expected, guessed = expected_seconds(
            {step.number: step.name for step in self.steps}, earlier,
            self.profile.expected_seconds, bool(self.request.changes), self.found.seconds,
        )  # fmt: skip
        self.display = Display(names, expected, self.at_once, alone, guessed)
        for line in (f"{self.profile.name}: {self.profile.title}", *self.found.lines()):
            self.display.say(line)
        if self.request.fresh:
            previous = {}
        clean = self._cleaner()
        # Without trainings here, what the manifest says of them is about another machine.
        gone = () if self.runs.is_dir() else first
        known = {
            by_step: {
                name: of for name, of in previous.get(by_step, {}).items() if name not in gone
            }
            for by_step in ("seconds", "stages")
        }
        self.manifest = {
            "status": "", "profile": self.profile.name, "title": clean(self.profile.title),
            "simulated": simulated, "started": provenance.utc_now(), "finished": None,
            **provenance.environment(),
            "parameters_hash": self.parameters_hash, "data": {},
            "notebooks": previous.get("notebooks", {}), **known, "machines": [], "tables": {},
        }  # fmt: skip
        self._remove_former_notebooks()
        self._save()
        if self.request.fresh:  # now that the manifest knows of nothing that is finished
            if aside := folders.set_aside(self.runs):
                self.display.say(f"The earlier trainings are kept in {shown(aside)}.")
            folders.clear(self.folder)
        try:
            self._prepare()
            if self.request.trains:
                self._train()
            if self._execute_all() and self._has_pages_of(previous):
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

    def _save(self, status: str = "running") -> None:
        self.manifest["status"] = status
        self.manifest["machines"] = entries.machines(self.runs)
        self.manifest["faces"] = entries.shows_faces(self.manifest["notebooks"])
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
                for by_step in ("seconds", "stages"):
                    self.manifest[by_step].pop(number, None)

    def _prepare(self) -> None:
        from ..corpora import data  # draws faces: OpenCV and numpy are not needed before

        def progress(what: str, done: int, total: int) -> None:
            self.display.follow("data", [{"what": what, "done": done, "total": total}])

        self.display.start("data")
        trainings.fetch_weights(self.found.downloads, progress)
        self.manifest["data"] = data.prepare_data(self.union, progress)
        self.manifest["data"] |= trainings.weights_files(step.parameters for step in self.steps)
        self._took("data")

    def _train(self) -> None:
        """Train all that the notebooks will look for."""
        events = self.work / "progress-trainings.jsonl"
        variables = self.variables | {VARIABLE: str(events)}
        tail = Tail(events, partial(self._follow, "trainings"))
        self.display.start("trainings")
        try:
            with tail:
                notebooks = [step.parameters for step in self.steps]
                trainings.train_before(notebooks, self.runs, self.how, variables)
        except UserError as failure:
            self.display.end("trainings", failed=True)
            raise UserError(
                f"{failure}\nPut that right, then continue with: {self.again}"
            ) from failure
        self._follow("trainings", tail.read())
        self._took("trainings")

    def _took(self, step: str) -> None:
        """Note that data or trainings are made."""
        took = round(self.display.end(step), 1)
        # What was there already says nothing about how long making it takes.
        if took >= self.manifest["seconds"].get(step, 0.0):
            self.manifest["seconds"][step] = took
            self.manifest["stages"][step] = self.times.of(step) or {step: took}
        self._save()

    def _follow(self, step: str, events: list[dict]) -> None:
        self.times.note(step, events)
        self.display.follow(step, events)

    def _execute_all(self) -> bool:
        """Run the notebooks that are not up to date; whether there were none."""
        team, started = kernels.Team(), []

        def start(step: Step) -> Callable[[], None] | None:
            if (self.request.resume or not self.request.only) and self._is_current(step):
                self.display.keep(step.name)
                return None
            started.append(step)
            return partial(self._execute, step, team, self._begin(step))

        try:
            expected = self.display.expected
            steps.side_by_side(self.chosen, self.at_once, expected, start, self._end, team.end)
        except UserError:
            raise
        except BaseException:  # what the kernels that were ended left behind
            for step in started:
                if self.manifest["notebooks"][step.number]["status"] == "running":
                    self._failed_copy(step).unlink(missing_ok=True)
            raise
        return not started

    def _begin(self, step: Step) -> Callable[[Any], Any]:
        """Note that a notebook runs; what it wrote in an earlier study is removed."""
        key, lineage = self._keys(step)
        clean = self._cleaner()
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
        self.display.start(step.name)
        return clean

    def _execute(self, step: Step, team: kernels.Team, clean: Callable[[Any], Any]) -> None:
        """Run a notebook (in a thread of its own)."""
        events = self.work / f"progress-{step.number}.jsonl"
        threads = cores() if step.alone else max(1, cores() // self.at_once)
        variables = {VARIABLE: str(events), **self.variables}
        spec = kernels.kernel_spec(self.modules, variables, self.work, team=team, threads=threads)
        copy, tail = self._copy(step.source.name), Tail(events, partial(self._follow, step.name))
        with tail:
            noted = execution.execute(step.source, copy, step.given, spec, self.work, clean)
        self._follow(step.name, [*tail.read(), *noted])

    def _end(self, step: Step, future: Future) -> None:
        """Note what came of a notebook; UserError where it failed."""
        entry = self.manifest["notebooks"][step.number]
        try:
            future.result()
        except execution.NotebookError as failure:
            self.display.end(step.name, failed=True)
            entry["status"] = "failed"
            self._save()
            raise UserError(
                f"{step.source.name} stopped at {failure}\n"
                f"What ran until then: {shown(self._failed_copy(step))}\n"
                f"Put that right, then continue with: {self.again}"
            ) from failure
        if step.number == entries.REPORT:
            from ..report import cards, read_record  # as in `_write_pages`

            cards.write_cards(read_record(str(self.folder)))
        seconds = self.manifest["seconds"][step.number] = round(self.display.end(step.name), 1)
        written = entries.outputs(self.folder, step.number)
        entry |= {"status": "complete", "seconds": seconds, "outputs": written}
        entry["finished"] = provenance.utc_now()
        self.manifest["stages"][step.number] = self.times.of(step.name)
        self._save()
        if step.number == entries.REPORT and self.display.unfinished():  # the primer alone
            self._write_pages()
            self.display.say(f"The report can be read: {shown(self.folder / 'report.html')}")

    def _write_pages(self) -> list[str]:
        """Build the pages of all notebooks that have run; returns what is to be noted."""
        from ..report import pages  # matplotlib, pandas and torch, which take seconds

        sources = [s.source for s in self.steps if self._copy(s.source.name).is_file()]
        return pages.build_pages(self.folder, sources, self.manifest)

    def _finish(self) -> None:
        """Build the pages and close the manifest."""
        from ..report import pdf  # as in `_write_pages`

        stale = [step.number for step in self.steps if not self._is_current(step)]
        self.manifest["finished"] = provenance.utc_now()
        self.manifest["tables"] = provenance.file_hashes(self.folder / "tables")
        for note in self._write_pages():
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

    def _keys(self, step: Step) -> tuple[str, str]:
        """(key, lineage) of a notebook on top of what the earlier ones have left on disk."""
        before = []
        for number in step.needs:
            entry = self.manifest["notebooks"].get(number, {})
            before.append(entry.get("lineage", "") if entry.get("status") == "complete" else "")
        given = {name: value for name, value in step.given.items() if name != "OUT"}
        data = self.manifest["data"]
        return entries.notebook_keys(step.source, given, self.library, data, before)

    def _is_current(self, step: Step) -> bool:
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

    def _failed_copy(self, step: Step) -> Path:
        return self._copy(step.source.name).with_suffix(".failed.ipynb")

    def _cleaner(self) -> Callable[[Any], Any]:
        """What stored copies say instead of local paths, see `execution.cleaner`."""
        places = folders.local_places(self.folder, self.runs, self.work)
        return execution.cleaner(execution.shortened(self.union) | places)
