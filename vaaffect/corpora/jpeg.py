"""Whether a JPEG file is whole, told by its markers (ITU-T T.81, annex B).

libjpeg fills what is missing with grey, warns, and goes on; OpenCV and Pillow keep that warning to
themselves. The markers of a file are read in a hundredth of the time that decoding takes.
"""

import numpy as np

_EOI, _SOS, _DRI = 0xD9, 0xDA, 0xDD  # end of image, start of scan, restart interval
# What may follow a scan: tables, number of lines, another scan, the end, applications' own, text.
_AFTER_SCAN = frozenset([0xC4, 0xCC, 0xDB, 0xDC, _DRI, _SOS, _EOI, *range(0xE0, 0xF0), 0xFE])


def is_whole_jpeg(data: bytes) -> bool:
    """Whether the bytes of a JPEG file hold its picture to the end, as far as markers tell.

    Noticed are a file that ends before its end-of-image marker, wherever it was cut and whatever
    filled the place since; bytes in a scan that make a marker which cannot stand there, as foreign
    bytes do almost surely from a few hundred on; restart markers that are missing, out of order or
    without an interval. What follows the end (a video of a motion photo, more pictures, zeros) does
    not matter, nor do thumbnails, which lie inside of segments.

    Not noticed are wrong or missing bytes in a scan that make no such marker: a flipped bit, or a
    run of zeros. Only a second decoder would tell them, and only some.
    """
    values = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(values[:-1] == 0xFF)
    codes = values[places + 1]
    markers = (codes != 0) & (codes != 0xFF)  # 0: a value of 255 in a scan; 255: padding
    places, codes = places[markers], codes[markers]
    at, interval, scans = 2, 0, 0
    while (i := int(np.searchsorted(places, at))) < len(places):
        place, code = int(places[i]), int(codes[i])
        if scans and (code not in _AFTER_SCAN or (values[at:place] != 0xFF).any()):
            return False
        if code == _EOI:
            return scans > 0
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        at = place + 2 + length
        if length < 2 or at > len(data):
            return False
        if code == _DRI:
            interval = int.from_bytes(data[place + 4 : place + 6], "big")
        if code == _SOS:
            scans += 1
            i = int(np.searchsorted(places, at))
            inner = (codes[i:] & 0xF8) == 0xD0  # restart markers are numbered 0 to 7 in turn
            restarts = int(inner.argmin()) if not inner.all() else len(inner)
            numbers = codes[i : i + restarts] & 7
            if (restarts and not interval) or (numbers != np.arange(restarts) % 8).any():
                return False
            at = int(places[i + restarts]) if i + restarts < len(places) else len(data)
    return False
