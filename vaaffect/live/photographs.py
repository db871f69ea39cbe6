"""Pairs of photographs of the same person, neutral and smiling: real people as an outside check.

Two layouts are read.

- `neutral/ID.jpg`, `smiling/ID.jpg` and `people.csv` with the columns person (the ID), age (years),
  gender, group.
- The Face Research Lab London Set as figshare gives it, its archives unpacked side by side:
  `neutral_front/001_03.jpg`, `smiling_front/001_08.jpg` and `london_faces_info.csv` with the
  columns face_id (X001), face_age, face_gender or face_sex, face_eth.

Of the table only the column that names the person must be there, and its file may have any name
that ends in .csv; traits that are missing or NA are unknown. Leading zeros and an X before a number
do not distinguish people. The photographs carry no labels of valence or arousal.
"""

import re
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pandas as pd

from ..base import UserError, decode_text, digest, expanded, listing, sha256_of
from ..corpora import Problems, named_kind
from ..results import EXPRESSIONS
from ..simulator import marker_of

LONDON = "Face Research Lab London Set"
LONDON_CITATION = (
    "DeBruine, L., & Jones, B. (2017). Face Research Lab London Set (version 5). figshare. "
    "doi 10.6084/m9.figshare.5047666.v5. Licence: CC BY 4.0."
)
_LONDON_NUMBER = "figshare.5047666"  # in its doi, by which the README of a copy tells what it is
_COLUMNS = {  # by what each is called in the tables of the two layouts, in lower case
    "person": ("person", "face_id"),
    "age": ("age", "face_age"),
    "gender": ("gender", "sex", "face_gender", "face_sex"),
    "group": ("group", "face_eth"),
}


@dataclass(frozen=True)
class _Layout:
    folders: tuple[str, str]  # of EXPRESSIONS
    name: str  # what a picture is called without its ending; the first group is the person


_OURS = _Layout(("neutral", "smiling"), r"(.+)")
_FIGSHARE = _Layout(("neutral_front", "smiling_front"), r"(\d+)_\d+")


@dataclass(frozen=True)
class PhotoPairs:
    """People who were photographed twice."""

    root: Path  # the folder that pictures are relative to
    name: str  # of the set
    citation: str  # with the licence; empty where the set is not known
    simulated: bool  # whether the simulator drew the pictures; shown with every number from them
    # A row per person: person, age (years), gender, group (nan where unknown), and the files of
    # EXPRESSIONS, relative to the root.
    people: pd.DataFrame
    problems: pd.DataFrame  # what was left out or noted, PROBLEM_COLUMNS

    @property
    def label(self) -> str:
        """How tables and figures name this data."""
        return self.name + " (simulated)" * self.simulated

    def fingerprint(self) -> str:
        """A hash of the pictures' bytes and of what is known about the people."""
        traits = self.people[["person", "age", "gender", "group"]].to_csv(index=False)
        files = self.people[[*EXPRESSIONS]].to_numpy().ravel()
        return digest(traits, [sha256_of(self.root / name) for name in files])


def load_people(root: Path) -> PhotoPairs:
    """Find the pairs of photographs in a folder; the module says in which layouts.

    A picture without its partner, a person without a row in the table and a row without pictures
    are left out and listed in `problems`. Pictures are not opened here. UserError: no such folder,
    another layout, no table of the people, or not one pair that can be used.
    """
    root = expanded(root)
    layout = next((one for one in (_OURS, _FIGSHARE) if _has(root, one)), None)
    if layout is None:
        fault = "holds no pairs of photographs" if root.is_dir() else "no such folder"
        raise UserError(
            f"{root}: {fault}; expected neutral/ID.jpg, smiling/ID.jpg and people.csv in it, or "
            "neutral_front and smiling_front as the Face Research Lab London Set has them."
        )
    problems = Problems(root)
    table, traits = _read_table(root, problems)
    pictures = {
        expression: _pictures(root / folder, layout.name, problems)
        for expression, folder in zip(EXPRESSIONS, layout.folders, strict=True)
    }
    rows, seen = [], {key: None for of_one in pictures.values() for key in of_one}
    for key in sorted(seen, key=lambda key: (len(key), key)):
        files = {name: of_one[key] for name, of_one in pictures.items() if key in of_one}
        first = next(iter(files.values()))
        if len(files) < len(EXPRESSIONS):
            (missing,) = set(EXPRESSIONS) - set(files)
            problems.add(first, f"has no {missing} partner", "pair")
        elif key not in traits:
            problems.add(first, f"the person has no row in {table.name}", "pair")
        else:
            person = re.fullmatch(layout.name, first.stem)[1]
            names = {name: path.relative_to(root).as_posix() for name, path in files.items()}
            rows.append({"person": person, **traits[key], **names})
    for key in traits:
        if key not in seen:
            problems.note(table, "a row without pictures", part=key)
    listed = problems.table()
    if not rows:
        first = f"; first: {loss}" if (loss := problems.first_loss()) else ", for it is empty"
        raise UserError(f"{root}: not one pair of photographs can be used{first}.")
    is_london = layout is _FIGSHARE or _names_london(root)
    name, citation = (LONDON, LONDON_CITATION) if is_london else ("photographs of people", "")
    drawn = marker_of([root / row["neutral"] for row in rows]) is not None
    return PhotoPairs(root, name, citation, drawn, pd.DataFrame(rows), listed)


def _has(root: Path, layout: _Layout) -> bool:
    return all((root / folder).is_dir() for folder in layout.folders)


def _names_london(root: Path) -> bool:
    """Whether a copy in our own layout says that it is (a part of) the London set."""
    return any(
        _LONDON_NUMBER in path.read_text(encoding="utf-8", errors="replace")
        for path in root.glob("README*")
        if path.is_file()
    )


def _key(person: str) -> str:
    """What two spellings of the same person have in common: 001, 1 and X001."""
    number = re.fullmatch(r"[Xx]?0*(\d+)", person.strip())
    return number[1] if number else person.strip()


def _pictures(folder: Path, pattern: str, problems: Problems) -> dict[str, Path]:
    """The pictures of a folder, by the person's key."""
    pictures: dict[str, Path] = {}
    for path in listing(folder):
        kind = named_kind(path)
        if kind is None:
            continue  # landmark templates lie beside the pictures of the London set
        match = re.fullmatch(pattern, path.stem)
        if kind.refusal:
            problems.add(path, kind.refusal, "picture")
        elif match is None:
            problems.add(path, "its name tells no person", "picture")
        elif _key(match[1]) in pictures:
            problems.add(path, "a second picture of the same person", "picture")
        else:
            pictures[_key(match[1])] = path
    return pictures


def _read_table(root: Path, problems: Problems) -> tuple[Path, dict[str, dict]]:
    """The table of the people, and {person's key: age, gender, group}."""
    for path in (path for path in listing(root) if path.suffix.lower() == ".csv"):
        try:
            text = decode_text(path.read_bytes())
            table = pd.read_csv(StringIO(text), dtype=str, index_col=False)
        except (OSError, ValueError) as error:  # of pandas' own errors, all are ValueErrors
            reason = error if isinstance(error, OSError) else "cannot be read as a table"
            problems.add(path, reason, "table")
            continue
        table.columns = [str(name).strip().lower() for name in table.columns]
        names = {
            ours: next((name for name in theirs if name in table), None)
            for ours, theirs in _COLUMNS.items()
        }
        if names["person"] is not None:
            return path, _traits(path, table, names, problems)
    raise UserError(
        f"{root}: has no table of the people; expected people.csv with the columns person, age, "
        "gender and group (london_faces_info.csv: face_id, face_age, face_gender, face_eth)."
    )


def _traits(
    path: Path, table: pd.DataFrame, names: dict[str, str | None], problems: Problems
) -> dict[str, dict]:
    traits: dict[str, dict] = {}
    for row in table.dropna(subset=names["person"]).to_dict("records"):
        known = {ours: row[name] if name else None for ours, name in names.items()}
        person = known.pop("person").strip()
        if _key(person) in traits:
            problems.note(path, "a second row of the same person", part=person)
            continue
        known["age"] = pd.to_numeric(known["age"], errors="coerce")
        for name in ("gender", "group"):
            text = known[name].strip() if isinstance(known[name], str) else ""
            known[name] = text.lower().replace("_", " ") or None
        traits[_key(person)] = known
    return traits
