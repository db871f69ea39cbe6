"""Profiles: which parameters each notebook is run with, checked before anything runs.

A notebook declares its parameters in the cell tagged `parameters`, one annotated literal per line
with a trailing comment (`EPOCHS: int = 2  # passes over the data`). A profile is a YAML file that
gives other values:

    title: one line, shown on the terminal and on the report
    expected_seconds: {"data": 40, "trainings": 300, "03": 20}   # on 2 CPU cores, for the first ETA
    all:                  # given to each notebook that declares the parameter
      SEED: 0
    notebooks:
      "03": {EPOCHS: 4}   # given to that notebook, which must declare it; p1 is the primer's first

papermill only warns about a name that a notebook does not know and never looks at types, so both
are checked here. Its own `inspect_notebook` loses a text with " = " in it, `int | None` and the
type of a bare default; pydantic would refuse the same types, with four more packages to install.
"""

import ast
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml

from ..base import NOTEBOOKS, UserError

GIVEN_BY_RUNNER = ("PROFILE", "OUT")  # set by the study itself, never by a profile
TOP_LEVEL = ("title", "expected_seconds", "all", "notebooks")
TYPES = {  # what a value in YAML may be; bool is no int here
    "int": (int,), "float": (float, int), "str": (str,), "bool": (bool,), "list": (list,),
    "dict": (dict,), "None": (type(None),),
}  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell."""

    type: str  # the annotation as written, or the type of the default where there is none
    default: Any


Declared = dict[str, dict[str, Parameter]]  # by number of the notebook and name


@dataclass(frozen=True)
class Profile:
    """A checked profile."""

    name: str
    title: str
    expected_seconds: dict[str, float]  # per step ("data", "trainings", "00", ...), on 2 CPU cores
    all: dict[str, Any]
    notebooks: dict[str, dict[str, Any]]  # per notebook number

    def parameters_for(self, notebook: Path, **ours: Any) -> dict[str, Any]:
        """The values that this profile gives to a notebook, and `ours`, as far as it declares them;
        its other parameters keep their default."""
        values = self.all | self.notebooks.get(notebook_number(notebook), {}) | ours
        declared = read_parameters(notebook)
        return {name: value for name, value in values.items() if name in declared}


def notebook_sources(folder: Path = NOTEBOOKS) -> list[Path]:
    """The notebooks in the order in which they run: `NN_name.ipynb`, then `primer/pN_name.ipynb`.

    The primer comes last: nothing is built on it.
    """
    return sorted(folder.glob("[0-9][0-9]_*.ipynb")) + sorted(folder.glob("primer/p[0-9]_*.ipynb"))


def notebook_number(notebook: Path) -> str:
    """What a notebook's file name starts with: two digits, or p and a digit for the primer."""
    return notebook.name[:2]


def read_parameters(notebook: Path) -> dict[str, Parameter]:
    """The parameters that a notebook declares, in their order; empty without a parameters cell.

    Raises:
        UserError: the cell holds anything but assignments of literals.
    """
    for cell in nbformat.read(notebook, as_version=4).cells:
        if "parameters" in cell.metadata.get("tags", []):
            try:
                return _parse_parameters(cell.source)
            except (SyntaxError, ValueError) as error:
                raise UserError(
                    f"{notebook.name}: the cell tagged `parameters` must hold only annotated "
                    f"literals such as `EPOCHS: int = 2  # passes over the data`; {error}."
                ) from error
    return {}


def _parse_parameters(source: str) -> dict[str, Parameter]:
    """Parse a parameters cell; ValueError or SyntaxError says what is wrong."""
    parameters = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.AnnAssign):
            target, annotation = node.target, node.annotation
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, annotation = node.targets[0], None
        else:
            raise ValueError(f"line {node.lineno} is not an assignment")
        if not isinstance(target, ast.Name) or node.value is None:
            raise ValueError(f"line {node.lineno} does not give a value to one name")
        try:
            default = ast.literal_eval(node.value)
        except ValueError:
            raise ValueError(f"the value of {target.id} is not a literal") from None
        written = ast.unparse(annotation) if annotation else type(default).__name__
        parameters[target.id] = Parameter(written, default)
    return parameters


def default_values(notebook: Path) -> dict[str, Any]:
    """What a notebook's parameters are where nobody gives them another value."""
    return {name: parameter.default for name, parameter in read_parameters(notebook).items()}


def matches(value: Any, annotation: str | ast.expr) -> bool:
    """Whether a value has the annotated type; an int is a float too, a bool is not an int.

    ValueError where it is not made of int, float, str, bool, list, dict, None and `|`.
    """
    if isinstance(annotation, str):
        annotation = ast.parse(annotation, mode="eval").body
    match annotation:
        case ast.BinOp(op=ast.BitOr()):
            return matches(value, annotation.left) or matches(value, annotation.right)
        case ast.Subscript(value=ast.Name("list"), slice=item):
            return isinstance(value, list) and all(matches(each, item) for each in value)
        case ast.Subscript(value=ast.Name("dict"), slice=ast.Tuple(elts=[key, item])):
            return isinstance(value, dict) and all(
                matches(k, key) and matches(v, item) for k, v in value.items()
            )
    name = ast.unparse(annotation)
    if name not in TYPES:
        raise ValueError(f"`{name}` is not a type that a profile can give")
    return type(value) in TYPES[name]


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key given twice, where plain YAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key_node, deep=True) for key_node, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", node.value[number][0].start_mark
                )
        return super().construct_mapping(node, deep)


def load_profile(name: str, notebooks: Path = NOTEBOOKS, changes: Iterable[str] = ()) -> Profile:
    """Read a profile, make the changes and check it against the notebooks.

    Args:
        name: of a file in `profiles/` beside the notebooks.
        notebooks: the folder of the notebooks.
        changes: "NAME=VALUE", or "NAME.KEY=VALUE" for one entry of a dict, at any depth, the value
            in YAML ("SIZE=48", "WILD.clips=30", "PER_MODEL.vgg11_bn.epochs=2"). It goes to every
            notebook that declares the name; what the profile gives to a single notebook is replaced
            too. The title tells them.

    Raises:
        UserError: no such profile, invalid YAML, a change that cannot be read or that PER_MODEL
            would undo, or a key or value that no notebook can take.
    """
    folder = notebooks / "profiles"
    path = folder / f"{name}.yaml"
    if not path.is_file() or path.parent != folder:
        available = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise UserError(
            f"There is no profile {name!r}; available: {available or 'none'}"
            " (files <name>.yaml in profiles/ beside the notebooks)."
        )
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UserError(f"{path.name}{line}: not valid YAML: {problem}.") from error
    declared = {notebook_number(p): read_parameters(p) for p in notebook_sources(notebooks)}
    profile = _checked(name, path.name, content, declared)
    return _changed(profile, list(changes), declared) if changes else profile


def _changed(profile: Profile, changes: list[str], declared: Declared) -> Profile:
    """A profile with other values: the same study, smaller or otherwise."""
    defaults = {name: p.default for cell in declared.values() for name, p in cell.items()}
    shared = dict(profile.all)
    per_notebook = {nn: dict(values) for nn, values in profile.notebooks.items()}
    for change in changes:
        left, equals, right = change.partition("=")
        name, *keys = left.strip().split(".")
        try:
            value = yaml.load(right, Loader=_StrictLoader)
        except yaml.YAMLError:
            equals = ""
        if not (name and equals) or not all(keys):
            raise UserError(
                f"--set {change}: write NAME=VALUE or NAME.KEY=VALUE with a value in YAML, such as "
                "SIZE=48 or WILD.clips=30 (in quotes for the shell where it has spaces)."
            )
        shared[name] = _put(shared.get(name, defaults.get(name, {})), keys, value, name, change)
        for values in per_notebook.values():
            values.pop(name, None)
    _refuse_undone(changes, defaults | shared)
    content = {
        "title": f"{profile.title}; changed: {', '.join(changes)}",
        "expected_seconds": profile.expected_seconds,
        "all": shared,
        "notebooks": per_notebook,
    }
    return _checked(profile.name, f"{profile.name}.yaml with --set", content, declared)


def _put(before: Any, keys: list[str], value: Any, name: str, change: str) -> Any:
    """`before` with a value at `keys` of nested dicts; without keys, the value."""
    if not keys:
        return value
    if not isinstance(before, dict):
        raise UserError(f"--set {change}: {name} is {_show(before)} and has no keys.")
    first, *others = keys
    inner = _put(before.get(first, {}), others, value, f"{name}.{first}", change)
    return before | {first: inner}


def _refuse_undone(changes: list[str], values: dict[str, Any]) -> None:
    """Refuse a change of EPOCHS or RECIPE that PER_MODEL undoes for a network of the study, unless
    the changes say what is to hold for that network."""
    names = {change.partition("=")[0].strip() for change in changes}
    per_model = values.get("PER_MODEL")
    if "PER_MODEL" in names or not isinstance(per_model, dict):
        return
    networks = [*values.get("MODELS", ()), *values.get("BASELINES", ())]
    for name in sorted(names):
        key = "epochs" if name == "EPOCHS" else name.removeprefix("RECIPE.")
        undone = {
            network: per_model[network][key]
            for network in networks
            if key != name
            and key in (per_model.get(network) or {})
            and not names & {f"PER_MODEL.{network}", f"PER_MODEL.{network}.{key}"}
        }
        if undone:
            said = next(c for c in changes if c.partition("=")[0].strip() == name)
            wanted = said.partition("=")[2]
            kept = ", ".join(f"{network} ({own})" for network, own in undone.items())
            cure = " ".join(f"PER_MODEL.{network}.{key}={wanted}" for network in undone)
            raise UserError(
                f"--set {said}: changes nothing for {kept}, where PER_MODEL says so; add to --set: "
                f"{cure} (or there the value that is to stay)."
            )


def _checked(name: str, file: str, content: Any, declared: Declared) -> Profile:
    content = _mapping(content, file)
    for key in content:
        if key not in TOP_LEVEL:
            raise UserError(f"{file}: unknown key {key!r}; {_choices(key, TOP_LEVEL)}.")
    title = content.get("title", name)
    if not isinstance(title, str):
        raise UserError(f"{file}: title must be one line of text, not {_show(title)}.")

    shared = _mapping(content.get("all"), f"{file}: all")
    _check_values(f"{file}: all", shared, declared, "no notebook declares it")

    per_notebook = {}
    for nn, values in _mapping(content.get("notebooks"), f"{file}: notebooks").items():
        _check_number(f"{file}: notebooks", nn, declared)
        where = f'{file}: notebooks: "{nn}"'
        per_notebook[nn] = _mapping(values, where)
        why = f"notebook {nn} does not declare it"
        _check_values(where, per_notebook[nn], {nn: declared[nn]}, why)

    seconds = _mapping(content.get("expected_seconds"), f"{file}: expected_seconds")
    for step, value in seconds.items():
        _check_number(f"{file}: expected_seconds", step, [*declared, "data", "trainings"])
        if not matches(value, "float") or not value > 0:
            raise UserError(
                f"{file}: expected_seconds: {step}: expected a number of seconds above 0,"
                f" got {_show(value)}."
            )
    return Profile(name, title, seconds, shared, per_notebook)


def _mapping(value: Any, where: str) -> dict:
    if value is None:  # a key with nothing under it
        return {}
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected `key: value` lines, got {_show(value)}.")
    return value


def _check_number(where: str, number: Any, known: Iterable[str]) -> None:
    if number not in known:
        hint = f"valid: {', '.join(known)}"
        if isinstance(number, int):
            hint = f'write it as two digits in quotes, "{number:02d}"; {hint}'
        raise UserError(f"{where}: unknown notebook number {number!r}; {hint}.")


def _check_values(where: str, values: Mapping[str, Any], declared: Declared, why: str) -> None:
    """Refuse a name that none of the notebooks declares, and a value of another type."""
    known = dict.fromkeys(name for cell in declared.values() for name in cell)
    for name, value in values.items():
        if name in GIVEN_BY_RUNNER:
            raise UserError(f"{where}: {name} is given by the study itself; remove it.")
        if name not in known:
            hint = _choices(name, [key for key in known if key not in GIVEN_BY_RUNNER])
            raise UserError(f"{where}: unknown parameter {name!r}: {why}; {hint}.")
        for nn in declared:
            if name not in declared[nn]:
                continue
            expected = declared[nn][name].type
            try:
                fits = matches(value, expected)
            except ValueError as error:
                raise UserError(f"Notebook {nn}: parameter {name}: {error}.") from error
            if not fits:
                raise UserError(
                    f"{where}: {name}: expected {expected} (notebook {nn}),"
                    f" got {_show(value)}{_cure(value, expected)}."
                )


def _cure(value: Any, expected: str) -> str:
    """A hint for the traps of YAML 1.1, or nothing."""
    power = re.fullmatch(r"([-+]?\d+)(\.\d*)?[eE]([-+]?)(\d+)", str(value))
    if isinstance(value, str) and power:
        whole, decimals, sign, exponent = power.groups()
        decimals = decimals if decimals and decimals != "." else ".0"
        written = f"{whole}{decimals}e{sign or '+'}{exponent}"
        return f"; YAML reads {value} as text, write {written}"
    return "; put it in quotes" if expected == "str" else ""


def _show(value: Any) -> str:
    """A value with its type, cut short."""
    text = repr(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    return "nothing" if value is None else f"{type(value).__name__} {text}"


def _choices(name: Any, known: Iterable[str]) -> str:
    """The nearest valid name, or all of them."""
    folded = {valid.casefold(): valid for valid in known}
    if near := difflib.get_close_matches(str(name).casefold(), folded, n=1, cutoff=0.5):
        return f"did you mean {folded[near[0]]!r}?"
    return f"valid: {', '.join(folded.values()) or 'none'}"
