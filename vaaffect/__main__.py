"""The command line: `python -m vaaffect COMMAND`.

Each command is two small functions: `add_x` declares its arguments, `x` does it. What a command
needs is imported inside it, so that help and mistakes in arguments are answered at once.
"""

import argparse
import errno
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    for add in (add_study, add_simulate, add_check, add_bench):
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
    parser.add_argument(
        "--corpus", choices=["afew-va", "semaine"], required=True, help="whose layout"
    )
    parser.add_argument(
        "--clips", type=positive, required=True, help="number of clips; of sessions for semaine"
    )
    parser.add_argument("--seed", type=int, required=True, help="same seed, same corpus")
    parser.add_argument("--subjects", type=positive, help="number of people (half the clips)")
    parser.add_argument("--workers", type=positive, help="processes that draw")
    parser.set_defaults(command=simulate)


def simulate(arguments: argparse.Namespace) -> None:
    """Write a simulated corpus with a progress bar."""
    from .simulator.laboratory import LabWorld
    from .simulator.recordings import write_semaine
    from .simulator.worlds import WildWorld
    from .simulator.writers import write_afew_va

    count, seed = arguments.clips, arguments.seed
    subjects = arguments.subjects or max(1, count // 2)
    if arguments.corpus == "semaine":
        world, write = LabWorld(sessions=count, subjects=subjects, seed=seed), write_semaine
    else:
        world, write = WildWorld(clips=count, subjects=subjects, seed=seed), write_afew_va
    with bar(f"drawing {arguments.corpus}", "frame") as progress:
        write(arguments.out, world, arguments.workers, progress)


def add_check(commands: argparse._SubParsersAction) -> None:
    """`check`: what a folder holds and what is wrong with it."""
    parser = commands.add_parser(
        "check",
        help="say what a copy of AFEW-VA or SEMAINE holds, and what is wrong with it",
        description="Recognize a corpus, decode every annotated picture, list what cannot be used.",
    )
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder of AFEW-VA or of SEMAINE")
    parser.add_argument("--quick", action="store_true", help="do not decode the pictures")
    parser.add_argument("--all", action="store_true", help="list every problem, not the first few")
    parser.add_argument("--workers", type=positive, help="processes that decode")
    parser.set_defaults(command=check)


def check(arguments: argparse.Namespace) -> None:
    """Print what was found; unusable corpora are errors."""
    from .check import check_pictures, load_any, report

    corpus = load_any(arguments.root.expanduser())
    pictures = None
    if not arguments.quick:
        with bar("decoding", "picture") as progress:
            pictures = check_pictures(corpus, arguments.workers, progress)
    print("\n".join(report(corpus, pictures, arguments.all)))
    if pictures is not None and len(pictures) == len(corpus.frames):
        raise UserError(f"{corpus.root}: not one of its pictures can be used; restore the files.")


def add_bench(commands: argparse._SubParsersAction) -> None:
    """`bench`: side-by-side measurements."""
    parser = commands.add_parser(
        "bench",
        help="measure side by side",
        description="Measure in one run, beside a named peer where there is one.",
    )
    parser.add_argument(
        "what",
        choices=["simulator", "crops", "landmarks", "bootstrap", "train"],
        help="what to measure; train needs the extra bench",
    )
    parser.add_argument("--quick", action="store_true", help="train: only see that it works")
    parser.add_argument("--out", type=Path, help="train: folder of the report")
    parser.set_defaults(command=bench)


def bench(arguments: argparse.Namespace) -> None:
    """Print the measurements."""
    if arguments.what == "train":
        from .bench_training import bench_training
        from .paths import REPORTS

        out = arguments.out or (None if arguments.quick else REPORTS / "benchmarks")
        print("\n".join(bench_training(arguments.quick, out)))
        return
    if arguments.quick or arguments.out:
        raise UserError(f"bench {arguments.what} has no --quick and no --out; leave them out.")
    from . import bench as benchmarks

    for line in getattr(benchmarks, f"bench_{arguments.what}")():
        print(line)


@contextmanager
def bar(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on the terminal, as a function of (done, total)."""
    from tqdm import tqdm

    with tqdm(desc=what, unit=unit) as shown:

        def progress(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield progress


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
