"""SEMAINE (Solid SAL) as it lies on disk: `Sessions/2/session.xml`, a video and raters' traces.

A person, the User, talks with an Operator who plays one of four characters; afterwards several
raters trace the User's valence and arousal over time (FEELtrace). McKeown et al. 2012, "The SEMAINE
database". The same loader reads the licensed corpus and what the simulator writes.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from ..base import UserError, find_files
from ..simulator import is_simulated
from .corpus import FRAME_COLUMNS, PROBLEM_COLUMNS, RATER_COLUMNS, Corpus, hashed_subject, refuse
from .pictures import VIDEO_ENDINGS, Video, probe_video

VARIABLE = "VAAFFECT_SEMAINE"  # the environment variable that points to the licensed copy
EVERY = 10  # one frame in ten, as in the thesis (section 4.2): neighbours are near copies
CHARACTERS = ("Poppy", "Obadiah", "Spike", "Prudence")
MAX_GAP = 0.5  # seconds; ratings further apart are a stretch that was not rated
SLACK = 0.1  # seconds before the first or after the last rating that still count as rated
FARTHEST = 1.2  # FEELtrace's scale is [-1, 1]; a little beyond is the hand, more is not

# R5S1TUCPoDV.txt: rater 5, recording 1, target User, character Poppy, dimension Valence. The end
# is anchored, because DA also begins the codes of anger, amusement and others.
_TRACE = re.compile(r"[AR](\d+)[RS](\d+)TUC(?:Ob|Po|Pr|Sp)2?D([VA])\.txt", re.IGNORECASE)
_DIMENSIONS = {"V": "valence", "A": "arousal"}


@dataclass(frozen=True)
class RaterTrace:
    """What one rater wrote down for one dimension of one session.

    Attributes:
        rater: the rater's number in the file's name.
        time: (n,) seconds since the video's beginning, rising.
        value: (n,) ratings, about [-1, 1].
    """

    rater: str
    time: np.ndarray
    value: np.ndarray

    def at(self, times: np.ndarray) -> np.ndarray:
        """Ratings (T,) at some times (T,) in seconds; nan where this rater did not rate."""
        values = np.interp(times, self.time, self.value)
        after = np.searchsorted(self.time, times).clip(1, len(self.time) - 1)
        gap = self.time[after] - self.time[after - 1]
        inside = (times > self.time[after - 1]) & (times < self.time[after])
        rated = (times >= self.time[0] - SLACK) & (times <= self.time[-1] + SLACK)
        return np.where(rated & ~(inside & (gap > MAX_GAP)), values, np.nan)


@dataclass(frozen=True)
class Session:
    """One conversation: who talks, on which video, and who rated what.

    Attributes:
        number: the session's id.
        character: whom the operator plays, one of CHARACTERS.
        subject: the User; a hash.
        path: the video that shows the User.
        video: its length, speed and size.
        traces: raters' traces by dimension, "valence" and "arousal".
    """

    number: str
    character: str
    subject: str
    path: Path
    video: Video
    traces: dict[str, list[RaterTrace]]


def load_semaine(root: Path, every: int = EVERY) -> Corpus:
    """Read the annotated frames of a SEMAINE copy: labels are the mean of the raters at a frame.

    Args:
        root: a folder with `Sessions/N/session.xml` at any depth.
        every: keep one frame in so many of each video.

    Returns:
        A Corpus without landmarks (`landmarks.landmark_corpus` finds them). Frames without a rating
        in both dimensions, and sessions that cannot be used, are listed in `problems`.

    Raises:
        UserError: no sessions, no usable frame, or ratings that are not on FEELtrace's scale.
    """
    root = Path(root)
    sessions, problems = read_sessions(root)
    parts = [_frames_of(root, session, every, problems) for session in sessions]
    frames = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if frames.empty:
        path, reason = problems[0]
        raise UserError(f"{root}: no usable frame; the first fault is {path}: {reason}.")
    return Corpus(
        name="semaine",
        root=root,
        simulated=is_simulated(session.path for session in sessions),
        native_scale=1.0,
        frames=frames,
        landmarks=None,
        problems=pd.DataFrame(problems, columns=PROBLEM_COLUMNS),
    )


def read_sessions(root: Path) -> tuple[list[Session], list[tuple[str, str]]]:
    """Every usable session of a copy, in the order of their numbers, and what is wrong with others.

    Returns:
        (sessions, [(path relative to root, reason)]).

    Raises:
        UserError: no session.xml at all, or most traces beyond FEELtrace's scale.
    """
    root = Path(root)
    problems: list[tuple[str, str]] = []
    found = find_files(root, lambda path: path.name.lower() == "session.xml", problems)
    if not root.is_dir() or not (found or problems):
        raise refuse(root, "semaine", VARIABLE)
    sessions: dict[str, Session] = {}
    for path in found:
        session = _read_session(root, path, problems)
        if session is None:
            continue
        if session.number in sessions:
            first = sessions[session.number].path.parent.relative_to(root).as_posix()
            here = path.relative_to(root).as_posix()
            problems.append((here, f"session {session.number} was already read: {first}"))
            continue
        sessions[session.number] = session
    beyond = [(path, reason) for path, reason in problems if "FEELtrace's scale" in reason]
    sound = sum(len(traces) for s in sessions.values() for traces in s.traces.values())
    if len(beyond) > sound:
        path, reason = beyond[0]
        raise UserError(f"{root / path}: {reason}, and so do {len(beyond)} traces; restore them.")
    order = sorted(sessions, key=lambda number: (len(number), number))
    return [sessions[number] for number in order], problems


def _read_session(root: Path, path: Path, problems: list[tuple[str, str]]) -> Session | None:
    """One session, or None with the reason added to `problems`."""
    here = path.relative_to(root).as_posix()
    try:
        tree = ElementTree.fromstring(path.read_bytes())
        files = sorted(path.parent.iterdir())
    except ElementTree.ParseError as error:
        problems.append((here, f"not readable as XML ({error})"))
        return None
    except OSError as error:
        problems.append((here, f"cannot be read ({error.strerror})"))
        return None
    character = tree.get("character", "")
    if character and character not in CHARACTERS:
        problems.append((here, f"no conversation with a character ({character}), left out"))
        return None
    ids = [
        element.get("id")
        for element in tree.findall(".//{*}subject")
        if element.get("role", "").lower() == "user" and element.get("id", "").strip()
    ]
    if not ids:
        problems.append((here, "names no subject with the role User, so it has no place in a fold"))
        return None
    traces = _read_traces(root, files, problems)
    listed = {e.get("filename", "") for e in tree.findall(".//{*}annotation")}
    present = {file.name for file in files}
    for name in sorted(name for name in listed - present if _TRACE.fullmatch(name)):
        problems.append((f"{path.parent.relative_to(root).as_posix()}/{name}", "trace is missing"))
    for dimension, of in traces.items():
        if not of:
            problems.append((here, f"has no usable {dimension} trace of the User"))
            return None
    chosen = _user_video(root, path.parent, files, problems)
    if chosen is None:
        problems.append((here, "has no usable video of the User"))
        return None
    number = tree.get("sessionId") or path.parent.name
    return Session(number, character, hashed_subject(f"SEMAINE subject {ids[0]}"), *chosen, traces)


def _read_traces(
    root: Path, files: list[Path], problems: list[tuple[str, str]]
) -> dict[str, list[RaterTrace]]:
    """The sound traces of valence and arousal among a session's files."""
    traces: dict[str, list[RaterTrace]] = {"valence": [], "arousal": []}
    for path in files:
        match = _TRACE.fullmatch(path.name)
        if match is None:
            continue
        here = path.relative_to(root).as_posix()
        try:
            time, value, skipped = read_trace(path)
        except OSError as error:
            problems.append((here, f"cannot be read ({error.strerror})"))
            continue
        except ValueError as error:
            problems.append((here, str(error)))
            continue
        if skipped:
            lines = "1 line is" if skipped == 1 else f"{skipped} lines are"
            problems.append((here, f"{lines} not `time value`, passed over"))
        traces[_DIMENSIONS[match[3].upper()]].append(RaterTrace(match[1], time, value))
    return traces


def read_trace(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """A FEELtrace file: a line per sample, `seconds rating`, every 0.02 s.

    Returns:
        Times (n,), ratings (n,), and how many lines were passed over: one token only, not a number,
        not finite, or not later than the line before. Empty lines do not count.

    Raises:
        ValueError: fewer than two ratings, or a rating that is far outside [-1, 1].
        OSError: the file cannot be read.
    """
    lines = [line.split() for line in path.read_text(errors="replace").splitlines()]
    lines = [line for line in lines if line]
    pairs = [line for line in lines if len(line) == 2]
    numbers = pd.to_numeric(pd.Series(np.array(pairs, dtype=object).ravel()), errors="coerce")
    table = numbers.to_numpy(np.float64).reshape(-1, 2)
    table = table[np.isfinite(table).all(axis=1)]
    if len(table):
        later = table[1:, 0] > np.maximum.accumulate(table[:, 0])[:-1]
        table = table[np.concatenate([[True], later])]
    if len(table) < 2:
        raise ValueError("trace holds no ratings")
    farthest = float(table[np.abs(table[:, 1]).argmax(), 1])
    if abs(farthest) > FARTHEST:
        raise ValueError(f"trace reaches {farthest:g}, beyond FEELtrace's scale of [-1, 1]")
    return table[:, 0], table[:, 1], len(lines) - len(table)


def _user_video(
    root: Path, folder: Path, files: list[Path], problems: list[tuple[str, str]]
) -> tuple[Path, Video] | None:
    """The User's video with the most pixels: which camera a name stands for is not documented."""
    openable = []
    for path in files:
        name = path.name.lower()
        if path.suffix.lower() not in VIDEO_ENDINGS or "user" not in name or "profile" in name:
            continue
        try:
            openable.append((path, probe_video(path)))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            problems.append((path.relative_to(root).as_posix(), str(why)))
    largest = max((v.size[0] * v.size[1] for _, v in openable), default=0)
    return next((x for x in openable if x[1].size[0] * x[1].size[1] == largest), None)


def rate(traces: list[RaterTrace], times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The raters' mean at some times (T,), how many they were, and their standard deviation.

    Each trace is interpolated in time. The mean is nan where nobody rated, the standard deviation
    (n - 1) where fewer than two did.
    """
    ratings = np.stack([trace.at(times) for trace in traces])
    count = np.isfinite(ratings).sum(axis=0)
    total = np.nansum(ratings, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        squares = np.nansum((ratings - mean) ** 2, axis=0)
        return mean, count, np.where(count > 1, np.sqrt(squares / (count - 1)), np.nan)


def _frames_of(
    root: Path, session: Session, every: int, problems: list[tuple[str, str]]
) -> pd.DataFrame:
    """The annotated frames of one session; frames that nobody rated go to `problems`."""
    index = np.arange(0, session.video.frames, every)
    times = index / session.video.fps
    source = session.path.relative_to(root).as_posix()
    ends = max(t.time[-1] for of in session.traces.values() for t in of)
    length = session.video.frames / session.video.fps
    if ends > length + 1:
        problems.append(
            (source, f"the video ends after {length:.1f} s, the ratings go on to {ends:.1f} s")
        )
    rated = {name: rate(of, times) for name, of in session.traces.items()}
    frames = pd.DataFrame(
        {
            "subject": session.subject,
            "clip": session.number,
            "frame": index,
            "time_s": times,
            "source": source,
            "source_index": index,
            # A hand may pass the end of its scale a little; a label does not.
            **{name: mean.clip(-1, 1) for name, (mean, _, _) in rated.items()},
            **{f"{name}_raters": count for name, (_, count, _) in rated.items()},
            **{f"{name}_sd": sd for name, (_, _, sd) in rated.items()},
        }
    )[FRAME_COLUMNS + RATER_COLUMNS]
    for name in session.traces:
        for number in index[~np.isfinite(frames[name])]:
            problems.append((f"{source}#{number}", f"nobody rated {name} here"))
    return frames.dropna(subset=["valence", "arousal"])
