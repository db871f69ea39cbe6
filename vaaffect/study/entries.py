"""What a manifest notes so that finished work is recognized: what a notebook was made from and what
it wrote, and on which machines the trainings ran.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat

from ..base import UserError, code_digest, digest, paths, provenance, sha256_of
from ..base.cache import read_record
from .folders import CARDS

REPORT = "99"  # the notebook that the cards belong to
PAGE_CODE = ("pages.py", "pdf.py", "formulas.py")  # of room report; no notebook uses them


def library_digest() -> str:
    """What a notebook can use of the library: what the code does of all rooms, and of this one the
    profiles; and the figures and texts that stand in files of their own."""
    rooms = {path.parent for path in paths.LIBRARY.glob("*/__init__.py")} - {Path(__file__).parent}
    code = code_digest(*sorted(rooms), Path(__file__).with_name("profiles.py"), but=PAGE_CODE)
    texts = [provenance.file_hashes(paths.LIBRARY, f"*.{ending}") for ending in ("csv", "md.j2")]
    return digest(code, texts)


def notebook_keys(
    notebook: Path, parameters: Mapping[str, Any], library: str, data: Mapping[str, str],
    before: Sequence[str],
) -> tuple[str, str]:  # fmt: skip
    """What an executed notebook depends on, as two hashes (key, lineage).

    Notebooks hand files to others, so the lineage covers the code cells, the parameters, the
    library, the data, and the lineages of the notebooks that it needs, `before`. The key adds the
    prose: other prose means another page, but no other numbers for those who come later.
    """
    cells = nbformat.read(notebook, as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    prose = [(index, cell.source) for index, cell in enumerate(cells) if cell.cell_type != "code"]
    lineage = digest(code, parameters, library, data, before)
    return digest(lineage, prose), lineage


def outputs(folder: Path, number: str) -> dict[str, str]:
    """SHA-256 of each file that a notebook has written into a report folder, by relative path.

    Names of tables and figures begin with the notebook's number.
    """
    files = [p for kind in ("tables", "figures") for p in folder.glob(f"{kind}/**/{number}_*")]
    files = [*sorted(files), *(folder / card for card in CARDS if number == REPORT)]
    return {p.relative_to(folder).as_posix(): sha256_of(p) for p in files if p.is_file()}


def pages(folder: Path) -> dict[str, str]:
    """SHA-256 of each page of a report folder, by relative path, and of the code that made them."""
    report = paths.LIBRARY / "report"
    code = [code_digest(*(report / name for name in PAGE_CODE))]
    code.append(provenance.file_hashes(report / "template", "*"))
    made = [*folder.glob("report.*"), *folder.glob("html/*.html")]
    return {"code": digest(code)} | {
        path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(made)
    }


def shows_faces(notebooks: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether one of a manifest's notebooks was run so that it shows pictures of a corpus."""
    return any(entry.get("parameters", {}).get("SHOW_FACES") for entry in notebooks.values())


def machines(runs: Path) -> list[dict[str, Any]]:
    """The machines of the finished trainings in a runs folder, those with most trainings first:
    {runs, device, precision, torch, seconds (in training, of all of them)} each."""
    groups: dict[tuple, dict[str, Any]] = {}
    for path in sorted(runs.glob("*/done.json")):
        try:
            done = read_record(path) or {}
        except UserError:  # damaged, which is said where it is looked for
            continue
        machine = done.get("machine", {})
        names = {name: machine.get(name, "unknown") for name in ("device", "precision", "torch")}
        group = groups.setdefault(tuple(names.values()), {"runs": 0, **names, "seconds": 0.0})
        group["runs"] += 1
        group["seconds"] += machine.get("seconds", done.get("seconds", 0.0))
    totals = [group | {"seconds": round(group["seconds"], 1)} for group in groups.values()]
    return sorted(totals, key=lambda group: -group["runs"])
