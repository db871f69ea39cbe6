"""The command line: `python -m vaaffect COMMAND`.

A command is a function under `@command(...)`, which lists its arguments (`arguments.py`). What a
command needs is imported inside it, so that help and mistakes in arguments are answered at once.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from .arguments import arg, bar, build_parser, command, path, positive
from .base.errors import Terminated, TimeOver, UserError
from .base.processes import unswayed
from .ending import drop_output, in_words


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0; 1 for what the user can cure; 75 where the minutes of a study are over and it can go on; 130
    for Ctrl-C, 141 where whoever read the output has gone (`| head`), 143 where a cluster, say,
    ended it.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # a name of a file must not end what prints it
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(argv)
        print(end="", flush=True)  # here, where it can be told what stands in its way
        return code
    except BrokenPipeError as error:
        if not (drop_output() or error.filename):
            raise
        return 128 + signal.SIGPIPE
    except OSError as error:
        said = in_words(error)
        if said is None:
            raise
        print(f"vaaffect: {said}", file=sys.stderr)
        drop_output()
        return 1


def _run(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit:  # after the help
        print(end="", flush=True)
        raise
    if arguments.command is None:
        parser.print_help()
        return 0
    try:
        with unswayed():
            return arguments.command(arguments) or 0
    except UserError as error:
        print(f"vaaffect: {error}", file=sys.stderr)
        return 1
    except TimeOver:
        return 75  # "try again" in sysexits.h
    except Terminated:
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        return 130


@command(
    arg("--profile", default="demo", help="a file in notebooks/profiles (demo)"),
    arg("--only", nargs="+", default=[], metavar="NN",
        help="run these alone, up to date or not: notebooks, e.g. 03 p1; or trainings"),
    arg("--fresh", action="store_true",
        help="begin from nothing: clear the report folder, set the trainings aside"),
    arg("--resume", action="store_true",
        help="go on with what is there (the default); with --only, keep what is up to date"),
    arg("--out", type=path, help="report folder (reports/PROFILE)"),
    arg("--minutes", type=float, metavar="N",
        help="stop after N minutes with exit code 75; the same command goes on"),
    arg("--set", nargs="+", default=[], metavar="NAME=VALUE",
        help="other values than the profile's, such as SIZE=48 WILD.clips=30; needs --out"),
    arg("--jobs", type=positive, metavar="N", alternative=True,
        help="trainings and notebooks at a time on this machine (as many as cores; GPU: 1)"),
    arg("--cluster", choices=["slurm"], alternative=True,
        help="trainings as a job array of a cluster"),
    arg("--cluster-options", nargs="+", default=[], metavar="KEY=VALUE",
        help="what each job asks for: partition, account, qos, minutes, gpus, cpus, memory (GB), "
        "parallel (trainings at a time)"),
)  # fmt: skip
def study(arguments: argparse.Namespace) -> None:
    """run every notebook with one profile and write a report

    Make the data, run every notebook in order with papermill, write the pages. What is finished and
    up to date, every training above all, is kept; --fresh begins from nothing.
    """
    from .study import Request, run_study

    how = None  # what the environment says
    if arguments.jobs or arguments.cluster or arguments.cluster_options:
        from .training import How

        how = How(arguments.jobs or 1, arguments.cluster or "", tuple(arguments.cluster_options))
    request = Request(
        arguments.profile, arguments.only, arguments.fresh, arguments.resume, arguments.out,
        arguments.minutes, arguments.set,
    )  # fmt: skip
    run_study(request, how)


@command(
    arg("file", type=path, metavar="FILE", help="what to write, such as gpu.tar.xz"),
    arg("--profile", default="demo", help="whose study (demo)"),
    arg("--out", type=path, help="its report folder (reports/PROFILE)"),
)
def pack(arguments: argparse.Namespace) -> None:
    """put a study's finished work into one file, for another machine

    Finished trainings without their weights, executed notebooks with tables and figures, landmarks
    of simulated corpora. After `unpack` elsewhere, a study of the same profile goes on from them.
    """
    from .study import travel

    print("\n".join(travel.pack(arguments.profile, arguments.file, arguments.out)))


@command(
    arg("file", type=path, metavar="FILE", help="what `pack` wrote"),
    arg("--out", type=path, help="the study's report folder (reports/PROFILE)"),
)
def unpack(arguments: argparse.Namespace) -> None:
    """take over what `pack` has put into a file on another machine"""
    from .study import travel

    print("\n".join(travel.unpack(arguments.file, arguments.out)))


@command(arg("folder", metavar="FOLDER", help="a report folder, or a profile (demo)"))
def pdf(arguments: argparse.Namespace) -> None:
    """print a study's report.html as report.pdf, as a study does where Chromium is installed"""
    from .base import REPORTS, expanded, shown
    from .report.pdf import print_report

    folder = expanded(arguments.folder)
    print(shown(print_report(folder if folder.is_dir() else REPORTS / arguments.folder)))


@command(
    arg("--profile", default="demo", help="a file in notebooks/profiles (demo)"),
    arg("--model", required=True, help="one of the profile's networks"),
    arg("--fold", type=int, required=True, help="number of the fold, from 0"),
    arg("--on", choices=["wild", "lab"], default="wild", help="the corpus to train on (wild)"),
    arg("--seed", type=int, help="another seed of the weights than the profile's"),
)
def train(arguments: argparse.Namespace) -> None:
    """train one network on one fold of a profile

    Train one network on one fold, as notebooks 04 and 05 would: a study of the same profile finds
    it finished. With several GPUs: torchrun --nproc-per-node N -m vaaffect train ...
    """
    from .study import one_fold

    run = one_fold.train_fold(
        arguments.profile, arguments.model, arguments.fold, arguments.on, arguments.seed
    )
    if os.environ.get("RANK", "0") == "0":  # of several processes (torchrun) one says so
        print(run)


@command(
    arg("out", type=path, metavar="OUT", help="the folder to write"),
    arg("--corpus", choices=["afew-va", "semaine"], required=True, help="whose layout"),
    arg("--clips", type=positive, required=True, help="number of clips; of sessions for semaine"),
    arg("--seed", type=int, required=True, help="same seed, same corpus"),
    arg("--subjects", type=positive, help="number of subjects (half the clips)"),
    arg("--workers", type=positive, help="processes that draw"),
)
def simulate(arguments: argparse.Namespace) -> None:
    """write a corpus of drawn faces in the folder layout of a real corpus"""
    from .simulator import LabWorld, WildWorld, write_afew_va, write_semaine

    count, seed = arguments.clips, arguments.seed
    subjects = arguments.subjects or max(1, count // 2)
    if arguments.corpus == "semaine":
        world, write = LabWorld(sessions=count, subjects=subjects, seed=seed), write_semaine
    else:
        world, write = WildWorld(clips=count, subjects=subjects, seed=seed), write_afew_va
    with bar(f"drawing {arguments.corpus}", "frame") as progress:
        write(arguments.out, world, arguments.workers, progress)


@command(
    arg("root", type=path, nargs="?", metavar="ROOT", help="folder of AFEW-VA or of SEMAINE"),
    arg(
        "--study", metavar="PROFILE", help="instead of a corpus: what this study would do and need"
    ),
    arg("--set", nargs="+", default=[], metavar="NAME=VALUE", help="of that study, as there"),
    arg("--out", type=path, help="of that study, as there"),
    arg("--quick", action="store_true", help="do not decode the pictures"),
    arg("--all", action="store_true", help="list every problem, not the first few"),
    arg("--workers", type=positive, help="processes that decode"),
)
def check(arguments: argparse.Namespace) -> None:
    """say what a copy of AFEW-VA or SEMAINE holds, and what is wrong with it; or with a study

    Recognize a corpus, decode every annotated picture, list what cannot be used. With --study, say
    in a table what a study would do, need and take, and list everything in it that cannot work.
    """
    if (arguments.root is None) == (arguments.study is None):
        raise UserError("check: name a folder, or a study with --study PROFILE.")
    if arguments.study is not None:
        from .study import check_study

        found = check_study(arguments.study, arguments.set, arguments.out)
        print("\n".join(found.lines()))
        return found.refuse()
    from .corpora.check import check_pictures, describe_corpus, load_any

    corpus = load_any(arguments.root)
    pictures = None
    if not arguments.quick:
        with bar("decoding", "picture") as progress:
            pictures = check_pictures(corpus, arguments.workers, progress)
    print("\n".join(describe_corpus(corpus, pictures, arguments.all)))
    if pictures is not None and len(pictures) == len(corpus.frames):
        raise UserError(f"{corpus.root}: not one of its pictures can be used; restore the files.")


@command(
    arg("source", metavar="SOURCE", help="image, folder, video, or camera number"),
    arg("--run", required=True, help="a run folder, or a profile with a kept model (demo)"),
    arg("--out", type=path, metavar="CSV", help="where rows go (the terminal)"),
    arg("--clip", type=path, metavar="FILE",
        help="annotated clip (.mp4, .avi ...); for an image an image, for a folder a folder"),
    arg("--smooth", type=float, metavar="SECONDS", help="time constant of smoothing (none)"),
    arg("--backend", choices=["torch", "openvino"], default="torch", help="what computes (torch)"),
    arg("--landmarks", choices=["dlib"], default="dlib", help="what finds the landmarks (dlib)"),
    arg("--real-time", action="store_true",
        help="play a video at its own speed, as a camera would: late pictures are dropped"),
)  # fmt: skip
def predict(arguments: argparse.Namespace) -> int:
    """predict valence and arousal of an image, a folder of images, a clip or a camera

    Find the faces, predict with a trained network, write a row per face. The rows that were written
    are kept whatever ends it. No file that is read is overwritten, and of others only an earlier
    result.
    """
    from .base.stopping import stopped_by_signals
    from .live.loop import watch
    from .live.predictor import Predictor, find_run
    from .live.sources import open_source

    with (
        stopped_by_signals(None),
        closing(open_source(arguments.source, arguments.real_time)) as source,
    ):
        run = find_run(arguments.run)
        predictor = Predictor.from_run(run, arguments.backend)
        print(f"Predicting with {run.name} ({arguments.backend}).", file=sys.stderr)
        with bar("predicting", "picture") as progress:
            rows = arguments.out or sys.stdout or Path(os.devnull)  # closed: `predict ... >&-`
            summary = watch(
                source, predictor, rows, arguments.clip, read=run.iterdir(),
                smooth=arguments.smooth, progress=progress,
            )  # fmt: skip
    print("\n".join(summary.lines()), file=sys.stderr)
    if summary.problems and not summary.pictures:
        raise UserError(f"{arguments.source}: not one picture can be read; restore the file.")
    return 1 if summary.lost else 0


@command(
    arg("folder", type=path, metavar="FOLDER",
        help="neutral/ID.jpg, smiling/ID.jpg, people.csv; or the London set of figshare"),
    arg("--run", default="demo", help="a run folder, a folder of runs, or a profile (demo)"),
    arg("--out", type=path, help="folder of the result (reports/people)"),
    arg("--all", action="store_true", help="list every problem, not the first few"),
)  # fmt: skip
def people(arguments: argparse.Namespace) -> None:
    """measure trained networks on real people's neutral and smiling photographs

    For how many people does each network of a study predict a higher valence for the smile? Writes
    tables, a figure and a page; no picture and no file name.
    """
    from .base import REPORTS, shown
    from .corpora import problem_lines
    from .live import find_runs, load_people
    from .live.people import choose_runs, report_on

    pairs, runs = load_people(arguments.folder), choose_runs(find_runs(arguments.run))
    out = (arguments.out or REPORTS / "people").resolve()
    with bar("measuring", "step") as progress:
        problems, text = report_on(pairs, runs, out, progress)
    print("\n".join(problem_lines(problems, arguments.all)), file=sys.stderr)
    print(f"{text}\n\nWritten to {shown(out)}.")


@command(
    arg("run", metavar="RUN", help="a run folder, or a profile (demo)"),
    arg("out", type=path, metavar="OUT", help="a name ending in .onnx or .xml"),
)
def export(arguments: argparse.Namespace) -> None:
    """write a trained network as ONNX or OpenVINO IR, and check that it predicts as PyTorch does"""
    from .live.export import export_run
    from .live.predictor import find_run

    for line in export_run(find_run(arguments.run), arguments.out):
        print(line)


@command(
    arg("what",
        choices=["simulator", "crops", "landmarks", "bootstrap", "live", "train", "study", "growth",
                 "coverage", "rehearse", "calibration", "landmark-error", "recipes", "smiles"],
        help="what to measure; live needs the extra live, train the extra bench"),
    arg("--quick", action="store_true",
        help="calibration: landmarks alone; where there is a report, to see that it works"),
    arg("--out", type=path, help="where there is a report: its folder"),
    arg("--profile", help="calibration, recipes, smiles: whose world and networks"),
    arg("--set", nargs="+", default=[], metavar="NAME=VALUE",
        help="the same: other values, such as WILD.context=[0.2,0.1] SIZE=64"),
    arg("--networks", nargs="+", default=[], help="calibration: to train too, as vgg_tiny_bn"),
    arg("--seeds", nargs="+", type=int, default=[], help="calibration: of several worlds (one)"),
)  # fmt: skip
def bench(arguments: argparse.Namespace) -> None:
    """measure in one run, beside a named peer where there is one"""
    from .base import ROOT

    # The benchmarks are beside the tests, not in the library.
    if not (ROOT / "tests" / "benchmarks").is_dir():
        raise UserError(f"{ROOT}: has no tests/benchmarks; benchmarks need a clone of the project.")
    sys.path.insert(0, str(ROOT / "tests"))  # worker processes inherit it
    from benchmarks import measure

    world = {"profile": arguments.profile, "changes": arguments.set,
             "networks": arguments.networks, "seeds": arguments.seeds}  # fmt: skip
    for line in measure(arguments.what, arguments.quick, arguments.out, world):
        print(line)


if __name__ == "__main__":
    sys.exit(main())
