"""Text of files and names, whatever system they have been on."""

import codecs
import re
from pathlib import Path

_ESCAPES = re.compile(r"\\x([89a-f][0-9a-f])")  # as `printable` writes them
_SURROGATES = re.compile("[\ud800-\udfff]")
_MARKS = (  # what Windows writes at the beginning of a text, and what that says of its encoding
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def printable(name: object) -> str:
    """A path, or a text with paths in it, as text that can be printed, encoded and put into tables.

    Linux allows any bytes in a name. Python keeps those that are not valid UTF-8 as lone
    surrogates, which no file, table or terminal takes; here they read `\\xe9`. `located` finds the
    file again.
    """
    return _SURROGATES.sub(_escaped, str(name))


def located(path: Path) -> Path:
    """The file of this path, in which names may be as they are or as `printable` shows them."""
    if _ESCAPES.search(str(path)) is None or path.exists():  # an ordinary name may have a backslash
        return path
    return Path(_ESCAPES.sub(lambda match: chr(0xDC00 + int(match[1], 16)), str(path)))


def _escaped(match: re.Match) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def decode_text(data: bytes, errors: str = "strict") -> str:
    """The text of a file as text editors save it: UTF-8, or UTF-16 by its byte order mark or by the
    zero byte beside its first character (which is ASCII in all formats that are read here); the
    mark is no part of it. `errors` as of bytes.decode. UnicodeDecodeError: it is something else."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, errors)
    zeros = [byte == 0 for byte in data[:2]]
    if any(zeros):
        return data.decode("utf-16-be" if zeros[0] else "utf-16-le", errors)
    return data.decode("utf-8", errors)
