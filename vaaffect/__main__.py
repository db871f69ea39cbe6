"""The command line: `python -m vaaffect COMMAND`.

Each command is two small functions: `add_x` declares its arguments, `x` does it. What a command
needs is imported inside it, so that help and mistakes in arguments are answered at once.
"""

import argparse
import errno
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__
from .errors import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 1 for what the user can cure, 130 for Ctrl-C."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 0
    try:
        return arguments.command(arguments) or 0
    except UserError as error:
        print(f"vaaffect: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"vaaffect: {where}{error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    parser = argparse.ArgumentParser(
        prog="vaaffect", description="A reproducible study of facial valence and arousal."
    )
    parser.add_argument("--version", action="version", version=f"vaaffect {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in (add_study, add_simulate, add_bench):
        add(commands)
    return parser


def add_study(commands: argparse._SubParsersAction) -> None:
    """`study`: every notebook with one profile, from nothing to a report."""
    parser = commands.add_parser(
        "study",
        help="run every notebook with one profile and write a report",
        description="Make the data, run every notebook in order with papermill, write the pages.",
    )
    parser.add_argument("--profile", default="demo", help="a file in notebooks/profiles (demo)")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NN", help="run these notebooks alone, e.g. 03 05"
    )
    parser.add_argument(
        "--resume", action="store_true", help="keep what is finished and still up to date"
    )
    parser.add_argument("--out", type=Path, help="report folder (reports/PROFILE)")
    parser.set_defaults(command=study)


def study(arguments: argparse.Namespace) -> None:
    """Run a study."""
    from .study import run_study

    run_study(arguments.profile, arguments.only, arguments.resume, arguments.out)


def add_simulate(commands: argparse._SubParsersAction) -> None:
    """`simulate`: a corpus of drawn faces in the layout of a real one."""
    parser = commands.add_parser(
        "simulate",
        help="write a corpus of drawn faces",
        description="Write a corpus of drawn faces in the folder layout of a real corpus.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    parser.add_argument("--corpus", choices=["afew-va"], required=True, help="whose layout")
    parser.add_argument("--clips", type=positive, required=True, help="number of clips")
    parser.add_argument("--seed", type=int, required=True, help="same seed, same corpus")
    parser.add_argument("--subjects", type=positive, help="number of people (half the clips)")
    parser.add_argument("--workers", type=positive, help="processes that draw")
    parser.set_defaults(command=simulate)


def simulate(arguments: argparse.Namespace) -> None:
    """Write a simulated corpus with a progress bar."""
    from tqdm import tqdm

    from .simulator.worlds import WildWorld
    from .simulator.writers import write_afew_va

    subjects = arguments.subjects or max(1, arguments.clips // 2)
    world = WildWorld(clips=arguments.clips, subjects=subjects, seed=arguments.seed)
    with tqdm(desc=f"drawing {arguments.corpus}", unit="frame") as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        write_afew_va(arguments.out, world, arguments.workers, progress)


def add_bench(commands: argparse._SubParsersAction) -> None:
    """`bench`: side-by-side measurements."""
    parser = commands.add_parser(
        "bench",
        help="measure side by side",
        description="Measure in one run, beside a named peer where there is one.",
    )
    parser.add_argument("what", choices=["simulator"], help="what to measure")
    parser.set_defaults(command=bench)


def bench(arguments: argparse.Namespace) -> None:
    """Print the measurements."""
    from . import bench as benchmarks

    for line in getattr(benchmarks, f"bench_{arguments.what}")():
        print(line)


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
