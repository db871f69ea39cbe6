"""Kinds of files, told by the endings of their names."""

from pathlib import Path

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
VIDEO_ENDINGS = (
    ".avi", ".mp4", ".m4v", ".mkv", ".mov", ".mpg", ".mpeg", ".webm", ".wmv", ".asf", ".flv",
    ".mts", ".m2ts", ".vob", ".ogv", ".3gp", ".divx",
)  # fmt: skip


def is_video(path: Path | str) -> bool:
    """Whether a file's ending is that of a video."""
    return Path(path).suffix.lower() in VIDEO_ENDINGS
