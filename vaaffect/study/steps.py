"""The notebooks as steps: what each is run with, what it needs, and which can run side by side.

A notebook's metadata say what it needs: {"vaaffect": {"needs": ["04"]}} are the numbers of those
whose files it reads, [] none; without that it may need all that come before it. {"alone": true}
keeps others from running beside it, because it measures time.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from ..base import UserError, paths
from .profiles import Profile, default_values, notebook_number, notebook_sources
from .request import TRAININGS


@dataclass(frozen=True)
class Step:
    """A notebook and what it is run with."""

    source: Path
    given: dict[str, Any]  # what papermill injects
    parameters: dict[str, Any]  # the same over the defaults
    needs: tuple[str, ...]  # numbers of the notebooks whose files it reads
    alone: bool  # nothing else may run beside it

    @property
    def name(self) -> str:
        return self.source.stem

    @property
    def number(self) -> str:
        return notebook_number(self.source)

    @property
    def is_primer(self) -> bool:
        return self.number.startswith("p")


def read_steps(profile: Profile, out: str) -> list[Step]:
    """Every notebook, in order, with the parameters of a profile and the report folder `out`."""
    steps: list[Step] = []
    for source in notebook_sources(paths.NOTEBOOKS):
        given = profile.parameters_for(source, PROFILE=profile.name, OUT=out)
        about = nbformat.read(source, as_version=4).metadata.get("vaaffect", {})
        needs = about.get("needs", [step.number for step in steps])
        parameters = default_values(source) | given
        steps.append(Step(source, given, parameters, tuple(needs), about.get("alone", False)))
    return steps


def all_parameters(steps: Sequence[Step]) -> dict[str, Any]:
    """The parameters of all steps together: what is given to one counts, and else a default."""
    union: dict[str, Any] = {}
    for values in (*(s.parameters for s in steps), *(s.given for s in steps)):
        union |= values
    return union


def chosen(steps: Sequence[Step], only: Sequence[str]) -> list[Step]:
    """The steps of these numbers, all if there are none; UserError: there is no such notebook."""
    wanted = {number.zfill(2) for number in only if number != TRAININGS}
    valid = [step.number for step in steps]
    if unknown := sorted(wanted.difference(valid)):
        raise UserError(
            f"--only {' '.join(unknown)}: there is no such notebook; valid: {', '.join(valid)}, "
            f"{TRAININGS}."
        )
    return [step for step in steps if not only or step.number in wanted]


def next_step(
    todo: Sequence[Step], running: Collection[Step], at_once: int, seconds: Mapping[str, float]
) -> Step | None:
    """The step that starts now, if one can: of those that need none that is still to come the one
    that is expected to take longest (`seconds` by name), then those that must be alone, and last
    the primer, for which the report does not wait."""
    pending = {step.number for step in (*todo, *running)}
    ready = [step for step in todo if pending.isdisjoint(step.needs)]
    if not ready or len(running) >= at_once or any(step.alone for step in running):
        return None
    step = min(ready, key=lambda step: (step.is_primer, step.alone, -seconds[step.name]))
    return None if step.alone and running else step


def side_by_side(
    steps: Sequence[Step], at_once: int, seconds: Mapping[str, float],
    start: Callable[[Step], Callable[[], None] | None],
    end: Callable[[Step, Future], None],
    stop: Callable[[], None],
) -> None:  # fmt: skip
    """Do all steps, up to `at_once` at a time.

    Args:
        steps, at_once, seconds: as of `next_step`.
        start: begins a step, and returns what to do in a thread of its own, or None: it is done.
        end: is told of a step whose thread has ended. After a UserError no other step starts, but
            those that run come to their end; then it is raised.
        stop: makes the threads end soon, where anything else (a signal) is raised meanwhile.
    """
    todo, running = list(steps), {}
    failure: UserError | None = None
    with ThreadPoolExecutor(at_once) as pool:
        try:
            while running or (todo and failure is None):
                while failure is None:
                    step = next_step(todo, running.values(), at_once, seconds)
                    if step is None:
                        break
                    todo.remove(step)
                    if (work := start(step)) is not None:
                        running[pool.submit(work)] = step
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    try:
                        end(running.pop(future), future)
                    except UserError as error:
                        failure = failure or error
        except BaseException:
            stop()
            raise
    if failure is not None:
        raise failure
