"""How commands are registered, and how their arguments are read.

The first line of a command's docstring is its line in the help, the rest, if any, its description.

It is argparse, because click and typer know no option with several values (`--only 03 p1`).
"""

import argparse
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import __version__
from .base.paths import expanded

COMMANDS: dict[Callable, tuple] = {}  # the arguments of each


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vaaffect", description="A reproducible study of facial valence and arousal."
    )
    parser.add_argument("--version", action="version", version=f"vaaffect {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for function, arguments in COMMANDS.items():
        summary, _, description = inspect.getdoc(function).partition("\n\n")
        description = description or f"{summary[0].upper()}{summary[1:]}."
        sub = commands.add_parser(function.__name__, help=summary, description=description)
        sub.set_defaults(command=function)
        group = None
        for names, options, alternative in arguments:
            if alternative:  # argparse cannot print an empty group
                group = group or sub.add_mutually_exclusive_group()
            (group if alternative else sub).add_argument(*names, **options)
    return parser


def arg(*names: str, alternative: bool = False, **options: object) -> tuple:
    """An argument, as of `add_argument`; of those that are alternatives one may be given."""
    return names, options, alternative


def command(*arguments: tuple) -> Callable[[Callable], Callable]:
    """Make a function a command with these arguments."""

    def register(function: Callable) -> Callable:
        COMMANDS[function] = arguments
        return function

    return register


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return int(text)


def path(text: str) -> Path:
    """A path, for argparse; an empty one, of a variable that is not set, would be this folder."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return expanded(text)


@contextmanager
def bar(task: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on the terminal, as a function of (done, total)."""
    from tqdm import tqdm

    with tqdm(desc=task, unit=unit) as shown:

        def progress(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield progress
