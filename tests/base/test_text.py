"""Text of files and names that have been elsewhere."""

import json
import os
from pathlib import Path

import pytest

from vaaffect.base import UserError, decode_text, digest, located, paths, printable

LATIN = os.fsdecode("né en été".encode("latin-1"))
ESCAPED = r"n\xe9 en \xe9t\xe9"


def test_names_that_are_not_utf_8_are_escaped_and_others_stay():
    assert printable(Path(LATIN) / "1.png") == f"{ESCAPED}/1.png"
    assert printable("half a character: \ud83d") == r"half a character: \ud83d"
    for name in ("plain", "né en été 日 😀", r"back\slash \xe9", "line\nbreak"):
        assert printable(name) == name


def test_a_file_is_located_by_its_printable_name(tmp_path):
    for name in (LATIN, "né.png", r"back\slash \xe9", f"{LATIN}/{LATIN}.png"):
        path = tmp_path / name
        path.mkdir(parents=True)
        assert located(tmp_path / printable(name)) == path == located(path)
    assert located(tmp_path / "none.png") == tmp_path / "none.png"


def test_every_message_for_the_user_can_be_printed_and_written():
    error = UserError(f"{LATIN}: is no corpus.")
    assert str(error) == f"{ESCAPED}: is no corpus."
    assert json.dumps(str(error), ensure_ascii=False).encode()


def test_any_name_has_a_hash():
    assert digest(LATIN) != digest(ESCAPED)
    assert paths.name_of(Path(LATIN)) != paths.name_of(Path(ESCAPED))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_text_is_read_as_editors_save_it(encoding):
    text = '{"name": "né en été 日 😀"}\r\n'
    assert decode_text(text.encode(encoding)) == text
    assert decode_text("\ufeff".encode("utf-16-be") + text.encode("utf-16-be")) == text


def test_bytes_of_no_text_are_refused_or_replaced():
    for data in (b"caf\xe9", b"\xff\xfea"):
        with pytest.raises(UnicodeDecodeError):
            decode_text(data)
    assert decode_text(b"caf\xe9", errors="replace") == "caf\ufffd"
    assert decode_text(b"") == "" and decode_text(b"x") == "x"
