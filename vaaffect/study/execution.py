"""One notebook executed with papermill: the kernel, the stored copy, what to say when it fails."""

import ast
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpec
from nbclient.exceptions import DeadKernelError
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from ..base import write_atomically
from .kernels import kernel_manager
from .times import cell_stages

WIDGET = "application/vnd.jupyter.widget-view+json"
ERROR_TAG = "papermill-error-cell-tag"  # papermill's two marker cells in a failed copy


class NotebookError(Exception):
    """A notebook did not run to its end; the message says where and why, in a line or two."""


def execute(
    source: Path, target: Path, parameters: Mapping[str, Any], kernel: KernelSpec, work: Path,
    clean: Callable[[Any], Any],
) -> list[dict]:  # fmt: skip
    """Run a notebook with parameters and store its executed copy as `target`; returns where its
    time went (`times.cell_stages`).

    The copy appears under its name only when it is whole, so a killed run leaves none. A failing
    notebook leaves `<name>.failed.ipynb` instead; NotebookError says why. `kernel` is as of
    `kernels.kernel_spec`, `work` a folder for temporary files; the copy goes through `clean` (see
    `cleaner`).
    """
    failed_copy = target.with_suffix(".failed.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    failed_copy.unlink(missing_ok=True)
    running = work / target.name
    failure = ""
    # These log what the study says itself, or (asyncio, some time later) what an interrupt leaves.
    for name in ("papermill", "traitlets", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        papermill.execute_notebook(
            source, running, parameters=dict(parameters), cwd=source.parent,
            kernel_name="python3", language="python", start_timeout=180,
            kernel_manager_class=kernel_manager(kernel),
            progress_bar=False, log_output=False, store_widget_state=False,
        )  # fmt: skip
    except PapermillExecutionError as error:
        ours = error.ename == "UserError"
        said = error.evalue if ours else f"{error.ename}: {error.evalue[:2000]}"
        failure = f"cell In [{error.exec_count}] ({_first_line(error.source)}):\n{said}"
    except DeadKernelError:
        failure = (
            f"{_last_cell(nbformat.read(running, as_version=4))}:\nThe kernel died. Most often "
            "memory ran out: close other programs, or lower the batch size or the number of "
            "clips in the profile."
        )
    notebook = nbformat.read(running, as_version=4)
    if not failure and (cell := unshown_figure(notebook)) is not None:
        failure = (
            f"cell In [{cell.execution_count}] ({_first_line(cell.source)}):\nIt saves a figure "
            "and shows none, so the page would have none; leave out of the notebook what keeps the "
            "kernel from showing it: matplotlib.use, plt.switch_backend or plt.close."
        )
    if not failure and not is_complete(notebook):
        failure = "it ended before its last cell (a SystemExit?)"
    stages = cell_stages(notebook)
    slim(notebook, clean)
    write_atomically(failed_copy if failure else target, nbformat.writes(notebook) + "\n")
    running.unlink()
    if failure:
        raise NotebookError(failure)
    return stages


def is_complete(notebook: NotebookNode) -> bool:
    """Whether every code cell was executed, none failed, and each shows the figure it saves."""
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if ERROR_TAG in tags:
            return False
        if cell.cell_type == "code" and cell.source.strip():
            failed = any(output.output_type == "error" for output in cell.outputs)
            if cell.execution_count is None or (failed and "raises-exception" not in tags):
                return False
    return unshown_figure(notebook) is None


def unshown_figure(notebook: NotebookNode) -> NotebookNode | None:
    """The first executed cell that saves a figure (`plots.save_figure`) and shows no picture, None
    where there is none. What a cell saves only on some condition is not asked for."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.execution_count and _saves_figure(cell.source):
            shown = [mime for output in cell.outputs for mime in output.get("data", {})]
            if not any(mime.startswith("image/") for mime in shown):
                return cell
    return None


def _saves_figure(source: str) -> bool:
    with suppress(SyntaxError):  # a magic
        for statement in ast.parse(source).body:
            if isinstance(statement, ast.Expr | ast.Assign):
                for node in ast.walk(statement.value):
                    if isinstance(node, ast.Call) and _name(node.func) == "save_figure":
                        return True
    return False


def _name(function: ast.expr) -> str:
    """What is called, without the module: `plots.save_figure` and `save_figure` are the same."""
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def slim(notebook: NotebookNode, clean: Callable[[Any], Any]) -> None:
    """Take out, in place, what makes two runs differ or tells about this machine.

    Timings per cell and papermill's paths go, tags stay; pieces of one stream become one; widgets
    become their static pictures; local paths are replaced in the injected cell and in every text
    that a cell printed.
    """
    CoalesceStreamsPreprocessor().preprocess(notebook, {})
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
        elif "injected-parameters" in cell.metadata.tags:
            cell.id = "injected-parameters"  # papermill draws a new one each time
            cell.source = clean(cell.source)
        for output in cell.get("outputs", []):
            for key in ("text", "evalue", "traceback"):
                if key in output:
                    output[key] = clean(output[key])
            if "text/html" in output.get("data", {}):
                # Without its kernel a widget shows nothing; its static picture stays.
                output.data.pop(WIDGET, None)
            for mime, data in output.get("data", {}).items():
                if mime.startswith("text/") or mime.endswith(("json", "svg+xml")):
                    output.data[mime] = clean(data)
    record = notebook.metadata.get("papermill", {})
    notebook.metadata["papermill"] = {
        key: clean(record[key]) for key in ("parameters", "duration", "version") if key in record
    }
    notebook.metadata.pop("widgets", None)


def cleaner(replacements: Mapping[str, str]) -> Callable[[Any], Any]:
    """A function that replaces texts, local paths above all, in a nested value, longest first."""
    # Warnings name the file that a cell was compiled from: another number in every run.
    # The look behind keeps a search through an embedded picture, one long word, linear.
    rules = [(re.compile(r"(?<!\S)\S*ipykernel_\d+/\d+\.py"), "cell")]
    for old, new in sorted(replacements.items(), key=lambda rule: -len(rule[0])):
        end = "" if old.endswith("/") else r"(?![\w.-])"
        rules.append((re.compile(rf"(?<![\w/.-]){re.escape(old)}{end}"), new))

    def clean(value: Any) -> Any:
        if isinstance(value, list):
            return [clean(item) for item in value]
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items()}
        if isinstance(value, str):
            for pattern, new in rules:
                value = pattern.sub(lambda _, new=new: new, value)
        return value

    return clean


def shortened(value: Any) -> dict[str, str]:
    """What is said instead of each absolute path in nested parameters, for `cleaner`."""
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return {path: said for item in items for path, said in shortened(item).items()}
    is_path = isinstance(value, str) and Path(value).is_absolute()
    return {value: f"…/{Path(value).name}"} if is_path else {}


def _last_cell(notebook: NotebookNode) -> str:
    """Where a kernel died."""
    for cell in reversed(notebook.cells):
        if cell.cell_type == "code" and cell.metadata.get("papermill", {}).get("start_time"):
            return f"cell ({_first_line(cell.source)})"
    return "its start"


def _first_line(source: str) -> str:
    return source.strip().partition("\n")[0].strip()
