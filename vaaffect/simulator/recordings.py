"""Writes the laboratory to disk in the layout of SEMAINE: videos, session.xml, traces."""

import errno
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np

from ..base import write_atomically
from .face import render
from .laboratory import DrawnTrace, LabWorld, SessionPlan, session_plan
from .scenery import build_set
from .writers import FrameProgress, Layout, whole_folder, write_corpus

WALL = (118.0, 128.0, 138.0)  # the colour behind the subjects


def write_semaine(
    out: Path, world: LabWorld, workers: int | None = None, progress: FrameProgress | None = None
) -> dict:
    """Writes a world as a corpus in SEMAINE's layout and returns its marker.

    `OUT/Sessions/1/session.xml` beside a video of the user and a text file per rater and dimension:
    `R5S1TUCPoDV.txt` is what rater 5 wrote about the valence of the user who talked to Poppy in
    recording 1, "seconds value" 50 times a second with values in [-1, 1].

    Workers, progress, what is promised and what is refused are those of `writers.write_afew_va`.
    """
    layout = Layout("SEMAINE layout", "sessions", _session_folder, write_session)
    return write_corpus(out, world, layout, workers, progress)


def write_session(out: Path, world: LabWorld, index: int) -> int:
    """Draws one session into its folder, which appears whole or not at all; the video's frames."""
    plan = session_plan(world, index)
    with whole_folder(out, _session_folder(index)) as draft:
        for trace in plan.traces:
            write_atomically(draft / trace_name(plan, trace), _lines(trace))
        write_atomically(draft / "session.xml", _xml(plan))
        wall = np.full((world.size[1], world.size[0], 3), WALL, np.uint8)
        shared = replace(build_set(plan.scenes[0], world.size), backdrop=wall)
        person = plan.subject.identity
        drawn = zip(plan.units, plan.scenes, strict=True)
        pictures = (render(person, *one, world.size, shared)[0] for one in drawn)
        write_video(draft / video_name(plan), pictures, world.fps)
    return len(plan.scenes)


def video_name(plan: SessionPlan) -> str:
    """Name of the user's video."""
    return f"{plan.stamp}_User_AV_lowQ_{plan.character}.avi"


def trace_name(plan: SessionPlan, trace: DrawnTrace) -> str:
    """Name of a rater's file about the user."""
    return f"R{trace.rater}S{plan.recording}TUC{plan.character[:2]}D{trace.code}.txt"


def _session_folder(index: int) -> Path:
    return Path("Sessions") / str(index + 1)


def _lines(trace: DrawnTrace) -> str:
    lines = [f"{time:.2f} {value:.4f}" for time, value in trace.rows]
    for place, line in reversed(trace.flaws):
        lines.insert(place, line)
    return "\n".join(lines) + "\n"


def _xml(plan: SessionPlan) -> str:
    session = ElementTree.Element(
        "session",
        sessionId=str(plan.number),
        recording=str(plan.recording),
        character=plan.character,
    )
    for role, number in (("User", plan.subject.number + 1), ("Operator", plan.operator)):
        ElementTree.SubElement(session, "subject", role=role, id=str(number))
    track = ElementTree.SubElement(session, "track", type="AV", filename=video_name(plan))
    for trace in plan.traces:
        name = trace_name(plan, trace)
        ElementTree.SubElement(track, "annotation", type="FeelTrace", filename=name)
    ElementTree.indent(session)
    return ElementTree.tostring(session, encoding="unicode") + "\n"


def write_video(path: Path, pictures: Iterable[np.ndarray], fps: float) -> None:
    """Writes pictures (H, W, 3) uint8 RGB, one at least, as Motion JPEG in an .avi file.

    Raises OSError when the file cannot be written whole.
    """
    video, frames = None, 0
    for picture in pictures:
        if video is None:
            # OpenCV's own writer rounds the speed to whole frames per second; FFmpeg's does not.
            form, size = cv2.VideoWriter_fourcc(*"MJPG"), picture.shape[1::-1]
            video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, form, fps, size)
        video.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        frames += 1
    video.release()
    if not _is_whole(path, frames):
        # OpenCV tells nobody why it could not write.
        if shutil.disk_usage(path.parent).free < 2**20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise OSError(errno.EIO, f"OpenCV could not write {path.name}")


def _is_whole(path: Path, frames: int) -> bool:
    """Whether a video has all its frames and ends where its header says."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8)[4:], "little")  # of the RIFF form, without these 8 bytes
    if size + 8 != path.stat().st_size:
        return False
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    return round(video.get(cv2.CAP_PROP_FRAME_COUNT)) == frames
