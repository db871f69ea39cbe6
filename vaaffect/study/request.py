"""What is to be run."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..base import UserError, paths, shown

if TYPE_CHECKING:  # torch takes seconds, and a mistake in a profile is told at once
    from ..training import How

TRAININGS = "trainings"  # how --only names them
SAME_STUDY = ("SHOW_FACES",)  # parameters that change no result


@dataclass(frozen=True)
class Request:
    """What is to be run.

    Attributes:
        profile: name of a file in the profiles folder.
        only: notebook numbers ("03", "p1") that are run even if they are up to date, and
            "trainings" for all of these; what is not named is left as it is.
        fresh: clear the report folder and set the trainings aside first.
        resume: with `only`, keep what is up to date, as a whole study does in any case.
        out: the report folder; `reports/<profile>` by default.
        minutes: after so many the study stops, and the same command goes on. A training loses an
            epoch at most and a corpus the clips being drawn; what has no checkpoint inside (a
            pretext training, what a notebook computes beside trainings) begins anew, so it has to
            fit.
        changes: over what the profile says, see `load_profile`; `out` must be given too, unless
            they change SAME_STUDY alone.

    Raises:
        UserError: it cannot be meant.
    """

    profile: str = "demo"
    only: Sequence[str] = ()
    fresh: bool = False
    resume: bool = False
    out: Path | None = None
    minutes: float | None = None
    changes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.fresh and (self.only or self.resume):
            other = "--only" if self.only else "--resume"
            raise UserError(f"--fresh begins the whole study from nothing; leave out {other}.")
        if self.minutes is not None and not self.minutes > 0:
            raise UserError("--minutes: give a number above 0.")
        others = [c for c in self.changes if c.partition("=")[0].strip() not in SAME_STUDY]
        if others and self.out is None:
            raise UserError(
                f"--set makes another study than the profile {self.profile}; name a folder for it "
                f"with --out, so that {shown(paths.REPORTS / self.profile)} stays what the profile "
                "makes."
            )

    @property
    def trains(self) -> bool:
        """Whether all trainings are done before the notebooks, which else train what they need."""
        return not self.only or TRAININGS in self.only

    def command(self, how: "How | None" = None) -> str:
        """The command that goes on with it, whatever stopped it."""
        words = ["--profile", self.profile]
        words += ["--only", *self.only] if self.only else []
        words += ["--out", str(self.out)] if self.out is not None else []
        words += ["--set", *self.changes] if self.changes else []
        trainings = how.arguments() if how is not None else ""
        minutes = f" --minutes {self.minutes:g}" if self.minutes is not None else ""
        resume = " --resume" if self.only else ""
        return f"python -m vaaffect study {shlex.join(words)}{trainings}{minutes}{resume}"
