"""Where a study's time goes: seconds by step and stage, for its manifest.

Stages are what the library reports (`base.stage`), wherever it computes: in a notebook's kernel, in
the processes that train or draw. So those of one step can add up to more than it took.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from nbformat import NotebookNode


class Times:
    """Seconds of each stage of each step."""

    def __init__(self) -> None:
        self._seconds: dict[str, dict[str, float]] = {}

    def note(self, step: str, events: Iterable[Mapping]) -> None:
        """Add what some events of a step tell."""
        of_step = self._seconds.setdefault(step, {})
        for event in events:
            if "stage" in event:
                name = event["stage"]
                of_step[name] = of_step.get(name, 0.0) + event["seconds"]

    def of(self, step: str) -> dict[str, float]:
        """The stages of a step, the longest first, in seconds to a tenth."""
        stages = sorted(self._seconds.get(step, {}).items(), key=lambda stage: -stage[1])
        return {name: round(seconds, 1) for name, seconds in stages if seconds >= 0.05}


def cell_stages(notebook: NotebookNode) -> list[dict]:
    """What an executed copy itself tells: the kernel's start, the cells that import, and the time
    of all cells, as events of stages; papermill notes when each cell began."""
    events, first, cells = [], None, 0.0
    begun = notebook.metadata.get("papermill", {}).get("start_time")
    for cell in notebook.cells:
        noted = cell.metadata.get("papermill", {})
        if cell.cell_type != "code" or not noted.get("start_time"):
            continue
        first = first or noted["start_time"]
        cells += noted.get("duration") or 0.0
        if cell.source.startswith(("import ", "from ")):
            events.append({"stage": "imports", "seconds": noted.get("duration") or 0.0})
    if begun and first:
        gap = datetime.fromisoformat(first) - datetime.fromisoformat(begun)
        events.append({"stage": "kernel start", "seconds": gap.total_seconds()})
    return [*events, {"stage": "all cells", "seconds": cells}]


def expected_seconds(
    notebooks: Mapping[str, str], earlier: Mapping[str, float], of_profile: Mapping[str, float],
    changed: bool, trainings: float | None = None,
) -> tuple[dict[str, float], list[str]]:  # fmt: skip
    """Seconds that each step of a study will take, and the names of those that are guesses.

    Args:
        notebooks: names of steps by number; data and trainings come before them.
        earlier: what the last study with these parameters took, by number.
        of_profile: what the profile says.
        changed: whether some of its values are others now (--set), so that it speaks of another
            study; what it is silent about is a guess in any case.
        trainings: what was measured to be left of them, if it was.
    """
    if trainings is not None:
        earlier = {**earlier, "trainings": trainings}
    said = {**of_profile, **earlier}
    known = earlier if changed else said
    guess = sum(said.values()) / len(said) if said else 60.0
    names = {"data": "data", "trainings": "trainings", **notebooks}
    expected = {name: said.get(number, guess) for number, name in names.items()}
    return expected, [name for number, name in names.items() if number not in known]
