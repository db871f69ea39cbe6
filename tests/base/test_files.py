"""Walks over folders, whatever links lead where, and what systems leave in them."""

import os
from pathlib import Path

import pytest

from vaaffect.base import files_state, find_files, listing, walk
from vaaffect.base.files import is_litter


def refuse(path: Path, error: OSError) -> None:
    pytest.fail(f"{path}: {error}")


def walked(root: Path, unopened=refuse) -> list[str]:
    return [folder.relative_to(root).as_posix() for folder, _, _ in walk(root, unopened)]


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_each_real_folder_is_entered_once_whatever_links_lead_where(tmp_path):
    disk = make(tmp_path / "disk", "x/y/1.txt")
    root = make(tmp_path / "home/root", "b/inner/2.txt", "c/3.txt", "d.txt")
    make(tmp_path / "home", "neighbour/4.txt")
    for link, target in {
        "b/back": root,  # loops
        "b/up": root.parent,
        "c/top": Path("/"),
        "c/itself": root / "c/itself",
        "a": root / "c",  # a folder of the same tree
        "f": disk / "x",  # on another disk, by two links
        "g": disk / "x",
        "e": disk / "x/y",
    }.items():
        (root / link).symlink_to(target)
    (disk / "x/home").symlink_to(root)
    assert walked(root) == [".", "b", "b/inner", "c", "e", "f"]
    names = {folder.name: (folders, files) for folder, folders, files in walk(root)}
    assert names["root"] == (["a", "b", "c", "e", "f", "g"], ["d.txt"])
    assert names["c"] == (["top"], ["3.txt", "itself"])
    texts = find_files(root, lambda path: path.suffix == ".txt", refuse)
    found = [path.relative_to(root).as_posix() for path in texts]
    assert found == ["b/inner/2.txt", "c/3.txt", "d.txt", "e/1.txt"]


def test_a_root_may_be_a_link(tmp_path):
    make(tmp_path / "disk/corpus", "a/1.txt")
    (tmp_path / "disk/corpus/a/loop").symlink_to("..")
    (tmp_path / "disk/corpus/a/out").symlink_to("../..")
    (tmp_path / "link").symlink_to("disk/corpus")
    assert walked(tmp_path / "link") == [".", "a"]


def test_links_that_lead_nowhere_are_named_but_those_of_files_and_circles(tmp_path):
    root = make(tmp_path / "root", "a/1.txt")
    (root / "02").symlink_to("/mnt/a disk that is not there/02")
    (root / "a/2.txt").symlink_to("gone.txt")
    (root / "this").symlink_to("that")
    (root / "that").symlink_to("this")
    unopened = []
    assert walked(root, lambda path, error: unopened.append((path.name, error.strerror))) == [
        ".",
        "a",
    ]
    assert unopened == [("02", "No such file or directory")]
    (tmp_path / "circle").symlink_to("circle")
    assert walked(tmp_path / "circle", lambda path, error: unopened.append(path.name)) == []
    assert unopened[1:] == ["circle"]


@pytest.mark.parametrize(
    "name",
    ["._00000.png", ".DS_Store", "Thumbs.db", "THUMBS.DB", "desktop.ini", "__MACOSX", "Icon\r",
     "$RECYCLE.BIN", ".Trash-1000", "@eaDir", "00000.png:Zone.Identifier"],
)  # fmt: skip
def test_what_systems_leave_is_passed_over(tmp_path, name):
    root = make(tmp_path, "a/1.txt", f"a/{name}", f"{name}x/2.txt")
    assert is_litter(name) and listing(root / "a") == [root / "a/1.txt"]
    make(tmp_path / "b", f"{name}/3.txt")
    walks = {folder.name: names for folder, _, names in walk(root)}
    assert walks["a"] == ["1.txt"] and walks["b"] == [] and name not in walks


@pytest.mark.parametrize("name", ["00000.png", ".hidden", "thumbs.dbx", "DS_Store", "_MACOSX"])
def test_other_names_are_not_passed_over(name):
    assert not is_litter(name)


def test_the_state_of_a_folder_is_told_in_spite_of_loops(tmp_path):
    root = make(tmp_path / "root", "a/1.txt", os.fsdecode(b"caf\xe9.png"))
    for name in ("one", "two", "a/three"):
        (root / name).symlink_to(root)
    before = files_state(root)
    make(root, "a/Thumbs.db")
    assert files_state(root) == before
    make(root, "a/2.txt")
    assert files_state(root) != before
