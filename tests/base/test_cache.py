"""The one cache: atomic, locked, cheap to open, and damage is named."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from vaaffect.base import UserError, cache
from vaaffect.base.cache import code_digest, kept, opened


def build(folder: Path) -> dict:
    with (folder / "builds").open("a") as file:
        file.write("x")
    time.sleep(0.3)
    (folder / "numbers.txt").write_text("1 2 3")
    return {"count": 3}


def test_it_is_built_once_and_found_again(tmp_path):
    first = kept(tmp_path / "a", build)
    assert first["count"] == 3 and set(first["files"]) == {"builds", "numbers.txt"}
    assert kept(tmp_path / "a", build) == first
    assert (tmp_path / "a" / "builds").read_text() == "x"


def test_two_processes_build_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=kept, args=(tmp_path / "a", build)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert (tmp_path / "a" / "builds").read_text() == "x"


def test_a_failed_build_leaves_no_manifest_and_the_next_goes_on(tmp_path):
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        kept(tmp_path / "a", fail)
    assert opened(tmp_path / "a") is None
    assert "half" in kept(tmp_path / "a", build)["files"]


def test_opening_hashes_only_what_has_another_time(tmp_path, monkeypatch):
    kept(tmp_path / "a", build)
    hashed = []
    real = cache.sha256_of
    monkeypatch.setattr(cache, "sha256_of", lambda path: hashed.append(path.name) or real(path))
    opened(tmp_path / "a")
    assert hashed == []
    os.utime(tmp_path / "a" / "numbers.txt")  # as a copy would have
    opened(tmp_path / "a")
    assert hashed == ["numbers.txt"]
    opened(tmp_path / "a")  # the new time was noted
    assert hashed == ["numbers.txt"]


@pytest.mark.parametrize("damage", ["change", "delete", "manifest"])
def test_damage_is_named_and_never_used(tmp_path, damage):
    folder = tmp_path / "a"
    kept(folder, build)
    if damage == "change":
        (folder / "numbers.txt").write_text("1 2 4")
    elif damage == "delete":
        (folder / "numbers.txt").unlink()
    else:
        (folder / "manifest.json").write_text("{")
    name = "manifest.json" if damage == "manifest" else "numbers.txt"
    with pytest.raises(UserError, match=f"{name}: is damaged .*delete the folder"):
        kept(folder, build)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("# else\ndef f(x):\n    '''Three.'''\n\n    return (x + 1)  # more\n", True),
        ('"""One."""\ndef f(x):\n    """Two."""\n    return x + 2\n', False),
        ('"""One."""\ndef f(x):\n    """Two."""\n    return x + 1.0\n', False),
        ('"""One."""\ndef f(x, y=0):\n    """Two."""\n    return x + 1\n', False),
    ],
)
def test_the_code_counts_and_its_comments_do_not(tmp_path, text, same):
    digests = []
    for name, source in (
        ("a", '"""One."""\ndef f(x):\n    """Two."""\n    return x + 1\n'),
        ("b", text),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.py").write_text(source)
        digests.append(code_digest(tmp_path / name / "m.py"))
    assert (digests[0] == digests[1]) == same


def test_a_room_is_its_files(tmp_path):
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(f"x = {name!r}")
    whole = code_digest(tmp_path)
    assert whole != code_digest(tmp_path, but=("b.py",)) == code_digest(tmp_path / "a.py")
