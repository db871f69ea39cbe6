"""Whether a JPEG file is whole, told by its markers (ITU-T T.81, annex B).

libjpeg fills what is missing with grey, warns, and goes on; OpenCV and Pillow keep that warning to
themselves. Reading the markers takes a few hundredths of the time of decoding.
"""

from bisect import bisect_left

import numpy as np

_EOI, _SOS, _DRI = 0xD9, 0xDA, 0xDD  # end of image, start of scan, restart interval
_RESTARTS = range(0xD0, 0xD8)  # within a scan, numbered 0 to 7 in turn
# What may follow a scan: tables, number of lines, another scan, the end, applications' own, text.
_AFTER_SCAN = frozenset([0xC4, 0xCC, 0xDB, 0xDC, _DRI, _SOS, _EOI, *range(0xE0, 0xF0), 0xFE])


def is_whole_jpeg(data: np.ndarray) -> bool:
    """Whether the bytes (n,) uint8 of a JPEG file hold its picture to the end, as far as markers
    tell.

    Noticed are a file that ends before its end-of-image marker, wherever it was cut and whatever
    filled the place since; bytes in a scan that make a marker which cannot stand there, as foreign
    bytes do almost surely from a few hundred on; restart markers that are missing, out of order or
    without an interval. What follows the end (a video of a motion photo, more pictures, zeros) does
    not matter, nor do thumbnails, which lie inside of segments.

    Not noticed are wrong or missing bytes in a scan that make no such marker: a flipped bit, or a
    run of zeros. A second decoder (FFmpeg's, told to stop at errors) would tell most of these, and
    nearly double the time.
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
