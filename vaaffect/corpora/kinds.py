"""Kinds of files: read as pictures, read as videos, or known and not read.

A file's name says what it should be, its first bytes what it is. Corpora are walked by names alone;
whoever opens a file goes by its bytes, so that a JPEG picture called .png is read, and a video or a
HEIC picture called .jpg is named as what it is.
"""

import re
from dataclasses import dataclass
from pathlib import Path

HEAD = 512  # bytes from a file's beginning in which kinds are looked for


@dataclass(frozen=True)
class Kind:
    """One format of files, or several that share their beginning."""

    name: str
    endings: tuple[str, ...]  # of file names, in lower case
    begins: bytes = b""  # a regular expression for the first bytes; empty where they tell nothing
    video: bool = False
    cure: str = ""  # what to do with a file of a kind that is not read; empty where it is

    @property
    def refusal(self) -> str | None:
        """Why a file of this kind is not read as a picture, and the cure; None where it is."""
        if self.video:
            cure = "give it by itself, or its frames as pictures"
            return f"is a video ({self.name}), not a picture; {cure}"
        return f"is {self.name}, which is not read; {self.cure}" if self.cure else None


def _brands(names: str) -> bytes:
    """How files of the ISO base media format (ISO/IEC 14496-12) begin that name such a brand."""
    return rb".{4}ftyp(?:.{4}){0,12}?(?:" + names.encode() + rb")"


JPEG = Kind("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), rb"\xff\xd8\xff")
TIFF = Kind("TIFF", (".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]")
# The order counts: of two kinds that begin alike the first is taken.
KINDS = (
    Kind("PNG", (".png",), rb"\x89PNG\r\n\x1a\n"),
    JPEG,
    TIFF,
    Kind("BMP", (".bmp", ".dib"), rb"BM.{4}\0{4}.{2}\0\0"),
    Kind("WebP", (".webp",), rb"RIFF.{4}WEBP"),
    Kind("GIF", (".gif",), rb"GIF8[79]a"),
    Kind("AVIF", (".avif",), _brands("avif|avis")),
    Kind("JPEG 2000", (".jp2", ".j2k"), rb"\0{3}\x0cjP {2}|\xffO\xffQ"),
    Kind("Netpbm", (".ppm", ".pgm", ".pbm", ".pnm")),
    Kind(
        "HEIC", (".heic", ".heif", ".hif"), _brands("hei[cxms]|hev[cxms]|mif1|msf1"),
        cure="export it as JPEG",
    ),
    Kind("JPEG XL", (".jxl",), rb"\xff\n|\0{3}\x0cJXL ", cure="export it as JPEG or PNG"),
    Kind(
        "a camera's raw file",
        (".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"),
        cure="develop it into JPEG or PNG",
    ),
    Kind("Photoshop", (".psd", ".psb"), rb"8BPS", cure="export it as PNG"),
    Kind("OpenEXR", (".exr",), rb"v/1\x01", cure="export it as PNG"),
    Kind("Radiance HDR", (".hdr",), rb"#\?RADIANCE", cure="export it as PNG"),
    Kind("Targa", (".tga",), cure="export it as PNG"),
    Kind("SVG", (".svg",), cure="export it as PNG"),
    Kind("AVI", (".avi", ".divx"), rb"RIFF.{4}AVI ", video=True),
    Kind(
        "MP4 or QuickTime", (".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".f4v"),
        rb".{4}(?:ftyp|moov|mdat|wide)", video=True,
    ),
    Kind("Matroska or WebM", (".mkv", ".webm"), rb"\x1aE\xdf\xa3", video=True),
    Kind(
        "MPEG", (".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".vob"), rb"\0\0\x01[\xb3\xba]",
        video=True,
    ),
    Kind(
        "MPEG transport stream", (".ts", ".mts", ".m2ts", ".m2t"), rb"G.{187}G|.{4}G.{191}G",
        video=True,
    ),
    Kind("Windows Media", (".wmv", ".asf"), rb"0&\xb2u\x8ef\xcf\x11", video=True),
    Kind("Flash video", (".flv",), rb"FLV\x01", video=True),
    Kind("Ogg", (".ogv",), rb"OggS", video=True),
)  # fmt: skip

IMAGE_ENDINGS = tuple(end for kind in KINDS if not kind.refusal for end in kind.endings)
VIDEO_ENDINGS = tuple(end for kind in KINDS if kind.video for end in kind.endings)
_BY_ENDING = {end: kind for kind in KINDS for end in kind.endings}
_BY_BYTES = [(re.compile(kind.begins, re.DOTALL), kind) for kind in KINDS if kind.begins]


def is_video(path: Path | str) -> bool:
    """Whether a file's ending is that of a video."""
    return Path(path).suffix.lower() in VIDEO_ENDINGS


def named_kind(path: Path | str) -> Kind | None:
    """The kind of a file by the ending of its name; None where that is no known one."""
    return _BY_ENDING.get(Path(path).suffix.lower())


def seen_kind(path: Path | str, head: bytes) -> Kind | None:
    """The kind of a file by its first HEAD bytes, or by its name where these tell nothing: for most
    camera's raw files begin as TIFF does, and a damaged file as nothing at all."""
    named = named_kind(path)
    if named is not None and not named.begins:
        return named
    return next((kind for begins, kind in _BY_BYTES if begins.match(head)), named)


def kind_of(path: Path) -> Kind | None:
    """As `seen_kind`, of a file on disk; by its name alone where it cannot be opened."""
    try:
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                return seen_kind(path, file.read(HEAD))
    except OSError:
        pass
    return named_kind(path)
