"""JPEG pictures, decoded if they are whole.

libjpeg fills what is missing or cannot be decoded with grey or with what comes out, says so on
stderr, and goes on; nothing of it reaches whoever calls OpenCV or Pillow. Two things tell: the
markers of the file (ITU-T T.81, annex B), and what libjpeg says.
"""

import os
import re
import threading
from bisect import bisect_left

import cv2
import numpy as np

_EOI, _SOS, _DRI = 0xD9, 0xDA, 0xDD  # end of image, start of scan, restart interval
_RESTARTS = range(0xD0, 0xD8)  # within a scan, numbered 0 to 7 in turn
# What may follow a scan: tables, number of lines, another scan, the end, applications' own, text.
_AFTER_SCAN = frozenset([0xC4, 0xCC, 0xDB, 0xDC, _DRI, _SOS, _EOI, *range(0xE0, 0xF0), 0xFE])
# libjpeg's words for damage, a line each. A few bytes too many before a header's tables, which some
# cameras write, are none.
_DAMAGE = re.compile(
    rb"(?:Premature end of JPEG file|Corrupt JPEG data: "
    rb"(?!\d+ extraneous bytes before marker 0x(?:db|c[0-3]|e|fe)))[^\n]*\n"
)
_listening = threading.Lock()


def decode_jpeg(data: np.ndarray, flags: int) -> np.ndarray | None:
    """Decode the bytes (n,) uint8 of a JPEG file as `cv2.imdecode` does; None where it is damaged.

    Noticed is what `is_whole_jpeg` notices, and what libjpeg does: missing and foreign bytes nearly
    always (missing ones of a progressive file four times in five), a run of zeros mostly, a single
    flipped bit once in five; the others change a few blocks, and decoding goes on in step.

    libjpeg warns on the process's stderr alone, which is turned into memory for the milliseconds of
    decoding; what others write there meanwhile is passed on.
    """
    if not is_whole_jpeg(data):
        return None
    with _listening:
        try:
            stderr = os.dup(2)
        except OSError:  # a process without: nobody can be heard
            return cv2.imdecode(data, flags)
        said = os.memfd_create("stderr")
        try:
            os.dup2(said, 2)
            try:
                image = cv2.imdecode(data, flags)
            finally:
                os.dup2(stderr, 2)
                words = os.pread(said, os.fstat(said).st_size, 0)
        finally:
            os.close(stderr)
            os.close(said)
    others, damaged = _DAMAGE.subn(b"", words)
    if others:
        os.write(2, others)
    return None if damaged else image


def is_whole_jpeg(data: np.ndarray) -> bool:
    """Whether the bytes (n,) uint8 of a JPEG file hold its picture to the end, as far as markers
    tell.

    Noticed are a file that ends before its end-of-image marker, wherever it was cut and whatever
    filled the place since; bytes in a scan that make a marker which cannot stand there, as 512
    foreign bytes do nine times in ten; restart markers that are missing, out of order or without an
    interval. What follows the end (a video of a motion photo, more pictures, zeros) does not
    matter, nor do thumbnails, which lie inside of segments.
    """
    found = np.flatnonzero(data[:-1] == 0xFF)
    after = data[found + 1]
    markers = (after != 0) & (after != 0xFF)  # 0: a value of 255 in a scan; 255: padding
    places, codes, view = found[markers].tolist(), after[markers].tolist(), memoryview(data)
    at, interval, scans = 2, 0, 0
    while (i := bisect_left(places, at)) < len(places):
        place, code = places[i], codes[i]
        if scans and (code not in _AFTER_SCAN or (data[at:place] != 0xFF).any()):
            return False
        if code == _EOI:
            return scans > 0
        length = int.from_bytes(view[place + 2 : place + 4], "big")
        at = place + 2 + length
        if length < 2 or at > len(data):
            return False
        if code == _DRI:
            interval = int.from_bytes(view[place + 4 : place + 6], "big")
        if code == _SOS:
            scans += 1
            i, restarts = bisect_left(places, at), 0
            while i < len(places) and codes[i] in _RESTARTS:
                if not interval or codes[i] != _RESTARTS[restarts % 8]:
                    return False
                i, restarts = i + 1, restarts + 1
            at = places[i] if i < len(places) else len(data)
    return False
