"""What is about to be written: no file that is read, none that somebody else wrote, each whole."""

import errno
import os
from pathlib import Path

import pytest

from vaaffect.base import UserError, holds, naming, refuse_to_overwrite, whole, write_atomically


def refusal(read, written, ours=lambda path: False) -> str:
    """What is said of files to be written."""
    with pytest.raises(UserError) as error:
        refuse_to_overwrite(read, written, ours)
    return str(error.value)


def test_a_file_that_is_read_is_known_by_all_its_names(tmp_path):
    (tmp_path / "folder").mkdir()
    photo = tmp_path / "folder" / "a.png"
    photo.write_bytes(b"photo")
    (tmp_path / "hard.png").hardlink_to(photo)
    (tmp_path / "soft.png").symlink_to(photo)
    (tmp_path / "way").symlink_to(tmp_path / "folder")
    for name in ("hard.png", "soft.png", "way/a.png", "folder/../folder/a.png"):
        said = refusal([photo], [(tmp_path / name, "the rows")], lambda path: True)
        assert said.startswith(f"{tmp_path / name}: is {photo}, which is read, and would be over")
    said = refusal([photo], [(photo, "the rows")], lambda path: True)
    assert said.startswith(f"{photo}: is read and would be overwritten by the rows; choose another")
    missing = tmp_path / "missing.png"
    (tmp_path / "circle").symlink_to("circle")
    read = [photo, missing, tmp_path / "circle", photo / "inside"]
    refuse_to_overwrite(read, [(missing, "the rows")], lambda path: False)


def test_two_things_in_one_file_are_noticed(tmp_path):
    there, link = tmp_path / "there", tmp_path / "link"
    there.write_bytes(b"earlier")
    link.hardlink_to(there)
    new, way = tmp_path / "new" / "a.png", tmp_path / "way"
    way.symlink_to(tmp_path / "new")
    for pair in ((there, link), (there, there), (new, new), (new, way / "a.png")):
        written = zip(pair, ("a.tif", "a.tif.png"), strict=True)
        said = refusal([], written, lambda path: True)
        assert said.startswith(f"{pair[1]}: a.tif and a.tif.png would both be written into this fi")
    refuse_to_overwrite([], [(new, "a"), (new.with_name("b.png"), "b")], lambda path: False)


def test_names_that_differ_in_capitals_are_two_files_where_the_disk_says_so(tmp_path):
    names = [("a.png", "A.PNG"), ("caf\u00e9.png", "cafe\u0301.png")]
    for one, other in names:
        (tmp_path / one).touch()
        distinguished = not (tmp_path / other).exists()
        written = [(tmp_path / "new" / name, name) for name in (one, other)]
        if distinguished:
            refuse_to_overwrite([], written, lambda path: False)
        else:
            assert "would both be written" in refusal([], written)
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "caf\u00e9.png"}


def test_what_is_there_stays_unless_an_earlier_run_wrote_it(tmp_path):
    mine, empty, earlier = (tmp_path / name for name in ("mine", "empty", "earlier"))
    mine.write_bytes(b"years of work")
    empty.touch()
    earlier.write_bytes(b"... written by us ...")
    for path in (empty, earlier, tmp_path / "new", Path(os.devnull)):
        refuse_to_overwrite([], [(path, "the rows")], lambda path: holds(path, b"by us"))
    said = refusal([], [(mine, "the rows")], lambda path: holds(path, b"by us"))
    assert said.startswith(f"{mine}: is there already and is no earlier result of this command; mo")
    assert refusal([], [(tmp_path, "the rows")]).startswith(f"{tmp_path}: is a folder, and a file")
    with pytest.raises(NotADirectoryError):
        refuse_to_overwrite([], [(mine / "a.png", "a picture")], lambda path: True)
    with pytest.raises(OSError, match="name too long"):
        refuse_to_overwrite([], [(tmp_path / ("x" * 300), "a picture")], lambda path: True)


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path):
    path, link = tmp_path / ("é" * 120), tmp_path / "link"  # 240 bytes
    write_atomically(path, "first")
    link.symlink_to(path)
    write_atomically(link, "second")
    assert link.is_symlink() and path.read_text() == "second"
    with pytest.raises(KeyboardInterrupt), whole(path, ".mp4") as partial:
        assert partial.suffix == ".mp4"
        partial.write_text("half")
        raise KeyboardInterrupt
    with whole(tmp_path / "nothing"):
        pass
    with pytest.raises(OSError, match="No space") as error, whole(tmp_path / "new") as partial:
        raise OSError(errno.ENOSPC, "No space", str(partial))
    assert error.value.filename == str(tmp_path / "new")
    assert path.read_text() == "second" and set(tmp_path.iterdir()) == {path, link}


def test_an_error_that_names_no_file_names_one_then(tmp_path):
    with pytest.raises(OSError, match="No space") as error, naming(tmp_path):
        raise OSError(errno.ENOSPC, "No space")
    assert error.value.filename == str(tmp_path)
    with pytest.raises(FileNotFoundError) as error, naming(tmp_path):
        (tmp_path / "other").read_bytes()
    assert error.value.filename == str(tmp_path / "other")
