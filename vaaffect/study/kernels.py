"""Kernels that begin with their libraries imported.

Importing PyTorch, torchvision and what draws figures takes a kernel about six seconds, and a study
starts twelve kernels. Python's own fork server imports once the rooms that the notebooks use, and
each kernel is forked from it: a process of its own, in which nothing has been computed before.
"""

import ast
import os
import signal
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import EntryPoint
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner
from traitlets import Instance, Int, List

from ..base import compute_with, end_with_parent, forks, paths

INLINE = "module://matplotlib_inline.backend_inline"  # shows figures under the cell that draws them
# What a user's shell may say otherwise, and a notebook would show: the place where figures go, code
# that every kernel runs first, the width at which printed tables are cut.
SETTINGS = {"MPLBACKEND": INLINE, "PYTHONSTARTUP": "", "COLUMNS": "80", "LINES": "24"}
NEEDED = (__name__, "ipykernel.kernelapp")  # by every kernel
_NAME = "vaaffect-forked"


def imported(notebooks: Iterable[Path]) -> list[str]:
    """The modules of the library that notebooks import, sorted; they bring in PyTorch and the rest.

    Nothing else is imported before a kernel starts, so that a mistake in a module of the user's own
    is told by the cell that imports it. Cells with magics (`%time`) do not count.
    """
    names = set()
    for notebook in notebooks:
        cells = nbformat.read(notebook, as_version=4).cells
        for cell in (c for c in cells if c.cell_type == "code"):
            with suppress(SyntaxError):
                for node in ast.walk(ast.parse(cell.source)):
                    if isinstance(node, ast.Import):
                        names |= {alias.name for alias in node.names}
                    elif isinstance(node, ast.ImportFrom) and node.module:
                        names.add(node.module)
    return sorted(name for name in names if name.partition(".")[0] == "vaaffect")


class Team:
    """The kernels of a study, which may end all at once."""

    def __init__(self) -> None:
        self._running: set[BaseProcess] = set()
        self._ended = False
        self._lock = threading.Lock()

    def start(self, process: BaseProcess) -> None:
        with self._lock:
            if self._ended:
                raise RuntimeError("the study has ended")
            process.start()
            self._running.add(process)

    def end(self) -> None:
        """Kill those that run; no other one starts."""
        with self._lock:
            self._ended = True
            for process in self._running:
                process.kill()


def kernel_spec(
    modules: Iterable[str], environment: Mapping[str, str], work: Path, **options: Any
) -> KernelSpec:
    """A kernel of this interpreter with these variables, forked from where `modules` have been
    imported (see `forks`). It computes with SETTINGS whatever the shell says, and in place of the
    user's own settings of IPython it has none, in a folder below `work`.

    Options: the `team` that it belongs to; with how many `threads` its libraries compute.
    """
    settings = SETTINGS | {"IPYTHONDIR": str(work / "ipython")}
    pythonpath = os.pathsep.join(filter(None, [str(paths.ROOT), os.environ.get("PYTHONPATH")]))
    launch = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    how = {"provisioner_name": _NAME, "config": {"modules": list(modules), **options}}
    return KernelSpec(
        argv=[*launch, "--log-level=50"],  # its notices would break the progress line
        display_name="Python 3",
        language="python",
        env={"PYTHONPATH": pythonpath, **settings, **environment},
        metadata={"kernel_provisioner": how},
    )


def kernel_manager(spec: KernelSpec) -> type[AsyncKernelManager]:
    """What starts kernels of this kind, whatever kernels the user has installed."""
    return type("OwnKernels", (AsyncKernelManager,), {"kernel_spec": spec})


class ForkedKernel(LocalProvisioner):
    """Starts a kernel as a fork instead of as a program."""

    modules = List(help="what is imported before").tag(config=True)
    team = Instance(Team, (), help="whose it is").tag(config=True)
    threads = Int(None, allow_none=True, help="with which libraries compute").tag(config=True)

    async def launch_kernel(self, cmd: list[str], **given: Any) -> dict[str, Any]:
        """Start it; `cmd` is that of the kernel as a program."""
        folder = given.get("cwd") or Path.cwd()
        arguments = (cmd[cmd.index("-f") :], given["env"], folder, self.threads)
        process = forks(*NEEDED, *self.modules).Process(target=_run, args=arguments)
        self.team.start(process)
        self.process, self.pid, self.pgid = _Forked(process), process.pid, process.pid
        return self.connection_info


KernelProvisionerFactory.provisioners[_NAME] = EntryPoint(
    _NAME, f"{__name__}:{ForkedKernel.__name__}", KernelProvisionerFactory.GROUP_NAME
)


class _Forked:
    """A forked process as `subprocess.Popen` would show it."""

    stdin = stdout = stderr = None

    def __init__(self, process: BaseProcess):
        self._process = process

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int:
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def _run(
    arguments: list[str], environment: dict[str, str], folder: str | Path, threads: int | None
) -> None:
    """Be a kernel."""
    from ipykernel.kernelapp import IPKernelApp

    os.setsid()  # Ctrl-C is for the study, which interrupts the kernel itself
    end_with_parent()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    if threads is not None:
        compute_with(threads)
    if matplotlib := sys.modules.get("matplotlib"):  # imported before a kernel could say where to
        matplotlib.rcParams["backend"] = environment["MPLBACKEND"]
    IPKernelApp.launch_instance(arguments)
