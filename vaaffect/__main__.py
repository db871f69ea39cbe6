"""The command line: `python -m vaaffect COMMAND`.

Each command is two small functions: `add_x` declares its arguments, `x` does it. What a command
needs is imported inside it, so that help and mistakes in arguments are answered at once.
"""

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

from . import __version__
from .base.errors import Terminated, TimeOver, UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0; 1 for what the user can cure; 75 where the minutes of a study are over and it can go on; 130
    for Ctrl-C, 143 where a cluster, say, ended it.
    """
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
    except TimeOver:
        return 75  # "try again" in sysexits.h
    except Terminated:
        return 128 + signal.SIGTERM
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
    for add in (
        add_study, add_pdf, add_train, add_simulate, add_check, add_predict, add_export, add_bench,
    ):  # fmt: skip
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
        "--only", nargs="+", default=[], metavar="NN", help="run these notebooks alone, e.g. 03 p1"
    )
    parser.add_argument(
        "--resume", action="store_true", help="keep what is finished and still up to date"
    )
    parser.add_argument("--out", type=Path, help="report folder (reports/PROFILE)")
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="N",
        help="stop after N minutes with exit code 75; --resume goes on",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="other values than the profile's, such as SIZE=48 WILD.clips=30; needs --out",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--jobs", type=positive, metavar="N", help="trainings at a time on this machine (1)"
    )
    where.add_argument("--cluster", choices=["slurm"], help="trainings as a job array of a cluster")
    parser.add_argument(
        "--cluster-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="what each job asks for: partition, account, qos, minutes, gpus, cpus, memory (GB), "
        "parallel (trainings at a time)",
    )
    parser.set_defaults(command=study)


def study(arguments: argparse.Namespace) -> None:
    """Run a study."""
    from .study.run import run_study

    how = None  # what the environment says
    if arguments.jobs or arguments.cluster or arguments.cluster_options:
        from .training.many import How

        how = How(arguments.jobs or 1, arguments.cluster or "", tuple(arguments.cluster_options))
    if arguments.minutes is not None and not arguments.minutes > 0:
        raise UserError("--minutes: give a number above 0.")

    def end(*_: object) -> None:
        raise Terminated("ended from outside")

    before = signal.signal(signal.SIGTERM, end)
    try:
        run_study(
            arguments.profile, arguments.only, arguments.resume, arguments.out, how,
            arguments.minutes, arguments.set,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGTERM, before)


def add_pdf(commands: argparse._SubParsersAction) -> None:
    """`pdf`: the report printed by Chromium."""
    parser = commands.add_parser(
        "pdf",
        help="print a study's report.html as report.pdf",
        description="Print report.html of a report folder as report.pdf beside it. A study does so "
        "by itself where Chromium is installed.",
    )
    parser.add_argument("folder", metavar="FOLDER", help="a report folder, or a profile (demo)")
    parser.set_defaults(command=pdf)


def pdf(arguments: argparse.Namespace) -> None:
    """Print, and say where the PDF is."""
    from .base.paths import REPORTS, shown
    from .report.pdf import print_report

    folder = Path(arguments.folder).expanduser()
    print(shown(print_report(folder if folder.is_dir() else REPORTS / arguments.folder)))


def add_train(commands: argparse._SubParsersAction) -> None:
    """`train`: one training of a study, for clusters and for several GPUs."""
    parser = commands.add_parser(
        "train",
        help="train one network on one fold of a profile",
        description="Train one network on one fold, as notebooks 04 and 05 would: a study of the "
        "same profile finds it finished. With several GPUs: "
        "torchrun --nproc-per-node N -m vaaffect train ...",
    )
    parser.add_argument("--profile", default="demo", help="a file in notebooks/profiles (demo)")
    parser.add_argument("--model", required=True, help="one of the profile's networks")
    parser.add_argument("--fold", type=int, required=True, help="number of the fold, from 0")
    parser.add_argument(
        "--on", choices=["wild", "lab"], default="wild", help="the corpus to train on (wild)"
    )
    parser.add_argument("--seed", type=int, help="another seed of the weights than the profile's")
    parser.set_defaults(command=train)


def train(arguments: argparse.Namespace) -> None:
    """Train, and say where the run folder is."""
    from .study import one_fold

    run = one_fold.train_fold(
        arguments.profile, arguments.model, arguments.fold, arguments.on, arguments.seed
    )
    if os.environ.get("RANK", "0") == "0":  # of several processes (torchrun) one says so
        print(run)


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
    from .corpora.check import check_pictures, describe_corpus, load_any

    corpus = load_any(arguments.root.expanduser())
    pictures = None
    if not arguments.quick:
        with bar("decoding", "picture") as progress:
            pictures = check_pictures(corpus, arguments.workers, progress)
    print("\n".join(describe_corpus(corpus, pictures, arguments.all)))
    if pictures is not None and len(pictures) == len(corpus.frames):
        raise UserError(f"{corpus.root}: not one of its pictures can be used; restore the files.")


def add_predict(commands: argparse._SubParsersAction) -> None:
    """`predict`: valence and arousal of an image, a folder, a clip or a camera."""
    parser = commands.add_parser(
        "predict",
        help="predict valence and arousal of an image, a folder of images, a clip or a camera",
        description="Find the faces, predict with a trained network, write a row per face.",
    )
    parser.add_argument("source", metavar="SOURCE", help="image, folder, video, or camera number")
    parser.add_argument(
        "--run", required=True, help="a run folder, or a profile with a kept model (demo)"
    )
    parser.add_argument("--out", type=Path, metavar="CSV", help="where rows go (the terminal)")
    parser.add_argument(
        "--clip",
        type=Path,
        metavar="FILE",
        help="annotated clip (.mp4, .avi ...); for an image an image, for a folder a folder",
    )
    parser.add_argument(
        "--smooth", type=float, metavar="SECONDS", help="time constant of smoothing (none)"
    )
    parser.add_argument(
        "--backend", choices=["torch", "openvino"], default="torch", help="what computes (torch)"
    )
    parser.add_argument(
        "--landmarks", choices=["dlib"], default="dlib", help="what finds the landmarks (dlib)"
    )
    parser.add_argument(
        "--real-time",
        action="store_true",
        help="play a video at its own speed, as a camera would: late pictures are dropped",
    )
    parser.set_defaults(command=predict)


def predict(arguments: argparse.Namespace) -> int:
    """Predict for a source; the rows that were written are kept whatever ends it."""
    from .live.loop import watch
    from .live.predictor import Predictor, find_run
    from .live.sources import open_source

    for path in (arguments.out, arguments.clip):
        if path is not None and path.resolve() == Path(arguments.source).resolve():
            raise UserError(
                f"{path}: is the source, and would be overwritten; choose another name."
            )
    source = open_source(arguments.source, arguments.real_time)
    with closing(source):
        run = find_run(arguments.run)
        predictor = Predictor.from_run(run, arguments.backend)
        print(f"Predicting with {run.name} ({arguments.backend}).", file=sys.stderr)
        if arguments.out is not None:
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with (
            (
                arguments.out.open("w", newline="") if arguments.out else nullcontext(sys.stdout)
            ) as rows,
            bar("predicting", "picture") as progress,
        ):
            summary = watch(
                source, predictor, rows, arguments.clip,
                smooth=arguments.smooth, progress=progress,
            )  # fmt: skip
    print("\n".join(summary.lines()), file=sys.stderr)
    if summary.problems and not summary.pictures:
        raise UserError(f"{arguments.source}: not one picture can be read; restore the file.")
    return 1 if summary.lost else 0


def add_export(commands: argparse._SubParsersAction) -> None:
    """`export`: a trained network for other programs."""
    parser = commands.add_parser(
        "export",
        help="write a trained network as ONNX or OpenVINO IR",
        description="Write the network of a run as ONNX or as OpenVINO IR, and check that it "
        "predicts as PyTorch does.",
    )
    parser.add_argument("run", metavar="RUN", help="a run folder, or a profile (demo)")
    parser.add_argument("out", type=Path, metavar="OUT", help="a name ending in .onnx or .xml")
    parser.set_defaults(command=export)


def export(arguments: argparse.Namespace) -> None:
    """Export and say how well it agrees."""
    from .live.export import export_run
    from .live.predictor import find_run

    for line in export_run(find_run(arguments.run), arguments.out):
        print(line)


def add_bench(commands: argparse._SubParsersAction) -> None:
    """`bench`: side-by-side measurements."""
    parser = commands.add_parser(
        "bench",
        help="measure side by side",
        description="Measure in one run, beside a named peer where there is one.",
    )
    parser.add_argument(
        "what",
        choices=["simulator", "crops", "landmarks", "bootstrap", "live", "train", "study"],
        help="what to measure; live needs the extra live, train the extra bench",
    )
    parser.add_argument("--quick", action="store_true", help="train, study: only see that it works")
    parser.add_argument("--out", type=Path, help="train, study: folder of the report")
    parser.set_defaults(command=bench)


def bench(arguments: argparse.Namespace) -> None:
    """Print the measurements; the benchmarks are beside the tests, not in the library."""
    from .base.paths import REPORTS, ROOT

    if not (ROOT / "tests" / "benchmarks").is_dir():
        raise UserError(f"{ROOT}: has no tests/benchmarks; benchmarks need a clone of the project.")
    sys.path.insert(0, str(ROOT / "tests"))  # worker processes inherit it
    from benchmarks import measure

    out = arguments.out
    if arguments.what in ("train", "study"):
        out = out or (None if arguments.quick else REPORTS / "benchmarks")
    elif arguments.quick or out:
        raise UserError(f"bench {arguments.what} has no --quick and no --out; leave them out.")
    for line in measure(arguments.what, arguments.quick, out):
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
