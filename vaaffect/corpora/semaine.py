"""SEMAINE (Solid SAL) as it lies on disk: `Sessions/2/session.xml`, a video and raters' traces.

A person, the User, talks with an Operator who plays one of four characters; afterwards several
raters trace the User's valence and arousal over time (FEELtrace). McKeown et al. 2012, "The SEMAINE
database". The same loader reads the licensed corpus and what the simulator writes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from ..base import UserError, decode_text, find_files, listing, printable
from .corpus import FRAME_COLUMNS, Corpus, as_corpus, hashed_subject, refuse
from .kinds import is_video
from .problems import Problems, is_placeholder
from .traces import read_trace
from .videos import Video, probe_video

EVERY = 10  # one frame in ten, as in the thesis (section 4.2): neighbours are near copies
CHARACTERS = ("Poppy", "Obadiah", "Spike", "Prudence")
MAX_GAP = 0.5  # seconds; ratings further apart are a stretch that was not rated
SLACK = 0.1  # seconds before the first or after the last rating that still count as rated

# How many rated a frame, and the standard deviation between them; nan for fewer than two.
RATER_COLUMNS = ["valence_raters", "arousal_raters", "valence_sd", "arousal_sd"]

# R5S1TUCPoDV.txt: rater 5, recording 1, target User, character Poppy, dimension Valence. The end
# is anchored, because DA also begins the codes of anger, amusement and others.
_TRACE = re.compile(
    r"[AR](?P<rater>\d+)[RS]\d+TUC(?:Ob|Po|Pr|Sp)(?P<variant>2?)D(?P<dimension>[VA])\.txt",
    re.IGNORECASE,
)
_BESIDE = (".xml", ".txt", ".wav")  # what else a session's folder holds
_NO_VIDEO, _OF_OTHERS = "is no known kind of video", 'has no "User" in its name'
_PROFILE = "shows the profile, by its name"
_DIMENSIONS = {"V": "valence", "A": "arousal"}


@dataclass(frozen=True)
class RaterTrace:
    """What one rater wrote down for one dimension of one session."""

    rater: str  # the number in the file's name
    time: np.ndarray  # (n,) seconds since the video's beginning, rising
    value: np.ndarray  # (n,) ratings, about [-1, 1]

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
    """One conversation: who talks, on which video, and who rated what."""

    number: str  # the session's id
    character: str  # whom the operator plays, one of CHARACTERS
    subject: str  # the User, as of `hashed_subject`; a Corpus has a pseudonym instead
    path: Path  # the video that shows the User
    video: Video
    traces: dict[str, list[RaterTrace]]  # by dimension, "valence" and "arousal"


def load_semaine(root: Path) -> Corpus:
    """Read one frame in ten of a SEMAINE copy: labels are the mean of the raters at that frame.

    Returns a Corpus without landmarks (`landmark_corpus` finds them). Frames without a rating in
    both dimensions, and sessions that cannot be used, are listed in `problems`. UserError: no
    sessions, no usable frame, or ratings that are not on FEELtrace's scale.
    """
    problems = Problems(Path(root))
    sessions = read_sessions(root, problems)
    parts = [_frames_of(session, problems) for session in sessions]
    frames = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if frames.empty:
        fault = problems.first_loss() or "that no session is a conversation with a character"
        raise UserError(f"{root}: no usable frame; the first fault is {fault}.")
    videos = [session.path for session in sessions]
    return as_corpus("semaine", 1.0, frames, None, problems, videos)


def read_sessions(root: Path, problems: Problems | None = None) -> list[Session]:
    """Every usable session (`Sessions/N/session.xml` at any depth) of a copy, in the order of their
    numbers; `problems` gets what is wrong with the others.

    UserError: no session.xml at all, or most traces beyond FEELtrace's scale.
    """
    problems = problems or Problems(Path(root))
    root = problems.root
    files = find_files(root, lambda path: path.name.lower() == "session.xml", problems.add_folder)
    if not root.is_dir() or not (files or problems.rows):
        raise refuse(root, "semaine")
    sessions: dict[str, Session] = {}
    for path in files:
        session = _read_session(path, problems)
        if session is None:
            continue
        first = sessions.setdefault(session.number, session)
        if first is not session:
            where = first.path.parent.relative_to(root).as_posix()
            problems.note(path, f"session {session.number} was already read: {where}")
    beyond = [row for row in problems.rows if "FEELtrace's scale" in row[1]]
    sound = sum(len(traces) for s in sessions.values() for traces in s.traces.values())
    if len(beyond) > sound:
        path, reason, _ = beyond[0]
        raise UserError(f"{root / path}: {reason}, and so do {len(beyond)} traces; restore them.")
    return sorted(sessions.values(), key=lambda session: (len(session.number), session.number))


def _read_session(path: Path, problems: Problems) -> Session | None:
    """One session, or None with the reason added to `problems`."""
    try:
        tree = _read_xml(path)
        files = listing(path.parent)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        return problems.add(path, f"not readable as XML ({error})", "session")
    except OSError as error:
        return problems.add(path, error, "session")
    character = tree.get("character", "")
    if character and character not in CHARACTERS:
        return problems.note(path, f"no conversation with a character ({character}), left out")
    ids = [
        element.get("id")
        for element in tree.findall(".//{*}subject")
        if element.get("role", "").lower() == "user" and not is_placeholder(element.get("id", ""))
    ]
    if not ids:
        reason = "names no subject with the role User, so it has no place in a fold"
        return problems.add(path, reason, "session")
    traces = _read_traces(files, problems)
    listed = {e.get("filename", "") for e in tree.findall(".//{*}annotation")}
    present = {file.name.lower() for file in files}
    for name in sorted(name for name in listed if _TRACE.fullmatch(name)):
        if name.lower() not in present:
            problems.add(path.with_name(name), "trace is missing", "trace")
    for dimension, sound in traces.items():
        if not sound:
            return problems.add(path, f"has no usable {dimension} trace of the User", "session")
    chosen, refused = _user_video(files)
    if chosen is None:
        why = "; ".join(f"{file.name}: {reason}" for file, reason in refused.items())
        reason = f"has no usable video of the User ({why or 'and no other video'})"
        return problems.add(path, reason, "session")
    for file, reason in refused.items():
        if reason in (_OF_OTHERS, _PROFILE, _NO_VIDEO):
            continue  # as it should be
        problems.note(file, f"{reason}; another video of the User is taken")
    number = tree.get("sessionId") or printable(path.parent.name)
    return Session(number, character, hashed_subject(f"SEMAINE subject {ids[0]}"), *chosen, traces)


def _read_xml(path: Path) -> ElementTree.Element:
    """A session's XML. OSError; ParseError, ValueError or LookupError: it is none, or in an unknown
    encoding."""
    data = path.read_bytes()
    # In UTF-16 the zero bytes say so, whatever encoding is declared: who saves it anew forgets it.
    return ElementTree.fromstring(decode_text(data) if b"\0" in data[:4] else data)


def _read_traces(files: list[Path], problems: Problems) -> dict[str, list[RaterTrace]]:
    """The sound traces of valence and arousal among a session's files."""
    traces: dict[str, list[RaterTrace]] = {"valence": [], "arousal": []}
    matches = [(path, match) for path in files if (match := _TRACE.fullmatch(path.name))]
    for path, match in sorted(matches, key=lambda pair: bool(pair[1]["variant"])):
        rater, dimension = match["rater"], _DIMENSIONS[match["dimension"].upper()]
        try:
            time, value, skipped = read_trace(path)
        except (OSError, ValueError) as error:
            problems.add(path, error, "trace")
            continue
        if skipped:
            lines = "1 line is" if skipped == 1 else f"{skipped} lines are"
            problems.note(path, f"{lines} not `time value`, passed over")
        if rater in {trace.rater for trace in traces[dimension]}:
            problems.add(path, f"a second trace of {dimension} by rater {rater}", "trace")
            continue
        traces[dimension].append(RaterTrace(rater, time, value))
    return traces


def _user_video(files: list[Path]) -> tuple[tuple[Path, Video] | None, dict[Path, str]]:
    """The User's video with the most pixels (which camera a name stands for is not documented), and
    why each other file that is none of the documented others cannot be it."""
    openable, refused = [], {}
    for path in files:
        name = path.name.lower()
        if path.suffix.lower() in _BESIDE or path.is_dir():
            continue
        if not is_video(path):
            refused[path] = _NO_VIDEO
        elif "user" not in name:
            refused[path] = _OF_OTHERS
        elif "profile" in name:
            refused[path] = _PROFILE
        else:
            try:
                openable.append((path, probe_video(path)))
            except OSError as error:
                refused[path] = f"cannot be read ({error.strerror})"
            except ValueError as error:
                refused[path] = str(error)
    largest = max(openable, key=lambda one: one[1].size[0] * one[1].size[1], default=None)
    return largest, refused


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


def cronbach_alpha(traces: list[RaterTrace], times: np.ndarray) -> float:
    """Cronbach's alpha of the raters at some times (T,): the reliability of their sum, and so of
    their mean, if they differ in what is not shared alone. 1 where all traces rise and fall
    together by as much, 0 where they have nothing in common; where a trace begins does not matter.

    Times at which one of them did not rate are left out; nan for fewer than two raters or three
    times, or where nothing moves. (L. J. Cronbach, "Coefficient alpha and the internal structure of
    tests", 1951.)
    """
    ratings = np.stack([trace.at(times) for trace in traces])
    ratings = ratings[:, np.isfinite(ratings).all(axis=0)]
    raters, moments = ratings.shape
    if raters < 2 or moments < 3:
        return np.nan
    of_sum = ratings.sum(axis=0).var(ddof=1)
    if of_sum == 0:
        return np.nan
    return float(raters / (raters - 1) * (1 - ratings.var(axis=1, ddof=1).sum() / of_sum))


def longest_session(sessions: Sequence[Session]) -> Session:
    """The longest session of some in which several raters traced both valence and arousal; without
    one, the longest in which several traced valence, or else arousal, or else any."""

    def order(session: Session) -> tuple:
        several = [len(session.traces[dimension]) > 1 for dimension in ("valence", "arousal")]
        return all(several), several, session.video.seconds, session.number

    return max(sessions, key=order)


def _frames_of(session: Session, problems: Problems) -> pd.DataFrame:
    """The annotated frames of one session; frames that nobody rated go to `problems`.

    One frame in ten, as in the thesis: frames are counted as they follow one another, at whatever
    distance in time, and the time of each that is taken is its own time stamp.
    """
    index = np.arange(0, session.video.frames, EVERY)
    times = session.video.times[index]
    ends = max(trace.time[-1] for traces in session.traces.values() for trace in traces)
    if ends > session.video.seconds + 1:
        length = session.video.seconds
        why = f"the video ends after {length:.1f} s, the ratings go on to {ends:.1f} s"
        problems.note(session.path, why)
    frames = pd.DataFrame({
        "subject": session.subject, "clip": session.number, "frame": index, "time_s": times,
        "source": printable(session.path.relative_to(problems.root)), "source_index": index,
    })  # fmt: skip
    unrated: dict[int, list[str]] = {}
    for name, traces in session.traces.items():
        mean, frames[f"{name}_raters"], frames[f"{name}_sd"] = rate(traces, times)
        # A hand may pass the end of its scale a little; a label does not.
        frames[name] = mean.clip(-1, 1)
        for number in index[~np.isfinite(mean)].tolist():
            unrated.setdefault(number, []).append(name)
    for number, names in sorted(unrated.items()):
        reason = f"nobody rated {' and '.join(names)} here"
        problems.add(session.path, reason, "frame", part=number)
    return frames[FRAME_COLUMNS + RATER_COLUMNS].dropna(subset=["valence", "arousal"])
