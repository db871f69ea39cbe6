"""Imports between rooms run one way, through their faces, and nothing runs in a circle."""

import ast
import re
import subprocess
import sys

from vaaffect.base.paths import LIBRARY, NOTEBOOKS

ROOMS = (
    "base", "simulator", "corpora", "results", "training", "classical", "report", "live",
    "widgets", "study",
)  # fmt: skip


def imports(path) -> list[tuple[int, str, list[str]]]:
    """(level, module, names) of each `from ... import` in a file."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    found = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return [(node.level, node.module or "", [a.name for a in node.names]) for node in found]


def test_every_folder_is_a_room_and_says_what_comes_in_and_goes_out():
    assert {path.parent.name for path in LIBRARY.glob("*/__init__.py")} == set(ROOMS)
    for room in ROOMS:
        text = ast.get_docstring(ast.parse((LIBRARY / room / "__init__.py").read_text()))
        assert text and len(text.splitlines()) <= 8, room


def test_imports_between_rooms_run_one_way():
    for place, room in enumerate(ROOMS):
        for path in (LIBRARY / room).glob("*.py"):
            for level, module, _ in imports(path):
                other = module.split(".")[0]
                if level == 2:
                    assert other in ROOMS[:place], f"{path}: {room} must not import {other}"


def test_modules_of_a_room_do_not_import_each_other_in_a_circle():
    for room in ROOMS:
        uses = {
            path.stem: {
                name
                for level, module, names in imports(path)
                if level == 1
                for name in ([module] if module else names)
            }
            for path in (LIBRARY / room).glob("*.py")
            if path.stem != "__init__"
        }
        while uses:
            free = [name for name, others in uses.items() if not others & uses.keys()]
            assert free, f"{room}: a circle among {', '.join(sorted(uses))}"
            for name in free:
                del uses[name]


def test_notebooks_import_from_the_faces():
    for path in NOTEBOOKS.rglob("*.ipynb"):
        for module in re.findall(r"from vaaffect\.([\w.]+) import", path.read_text("utf-8")):
            assert module in ROOMS, f"{path.name}: import from the face, not from {module}"


def test_a_module_reads_in_one_sitting():
    for path in LIBRARY.rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 370, path


def test_importing_the_library_leaves_gpus_alone():
    # Kernels and workers are forked from a process that has imported it. Once that has asked CUDA
    # how many GPUs there are, its children cannot use them.
    modules = [
        ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts)
        for path in LIBRARY.glob("*/*.py")
        if path.stem != "__init__"
    ]
    program = (
        "import importlib, torch\n"
        "def asked(): raise AssertionError('CUDA was asked')\n"
        "torch._C._cuda_getDeviceCount = asked\n"
        f"for module in {modules}: importlib.import_module(module)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
