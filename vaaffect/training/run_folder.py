"""The folder of one training; a kill at any moment leaves each file as it was, or whole.

config.json          everything that determines what is learned, see `spec.Training.config`
history.csv          a row per epoch
memory.json          where memory ran out: since which epoch batches go through in how many parts
checkpoint_*.pt      while it runs; the name carries the file's own hash
predictions.parquet  a row per test frame
validation.parquet   a row per frame of the inner validation part, by the same weights
model.pt             the chosen epoch's weights, where asked for
done.json            written last: how it ended, on what machine, and the hashes of the others

Every function that reads a damaged file names it, with the cure, in a UserError.
"""

import json
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from ..base import UserError, provenance, sha256_of, sync, write_atomically
from ..base.cache import check_files, damaged, read_record, stamp
from . import distributed
from .adapt import new_network
from .networks import backbone_of
from .recipe import Recipe
from .step import autocast_dtype, default_device

DONE, CONFIG, HISTORY, MODEL = "done.json", "config.json", "history.csv", "model.pt"
# What others read of these.
_DONE_HAS = ("best_epoch", "best_val_mse", "epochs")  # the first runs did not name a machine
_CONFIG_HAS = ("model", "recipe", "data", "by", "fold", "seed", "image_size")
# Files that never got their name, see `write_atomically` and `save_checkpoint`.
UNNAMED = ("*.csv.*", "*.json.*", "*.writing")


def machine() -> dict:
    """On what something is trained: device (type and name), precision, torch, python, threads,
    processes. They decide how fast, and the last bits of a result; not what it is."""
    device, names = default_device(), provenance.device()
    return {
        "device": f"{device.type}, {names.get('gpu') or names['cpu']}",
        "precision": str(autocast_dtype(device)).removeprefix("torch."),
        "torch": torch.__version__, "python": platform.python_version(),
        "threads": torch.get_num_threads(), "processes": distributed.count(),
    }  # fmt: skip


def is_finished(run: Path, with_model: bool = False) -> bool:
    """Whether a run folder is complete; a UserError where a file is not the one that was written,
    which is hashed only where its time has changed. A model that was kept may have stayed on the
    machine that trained it, see `holds_model`."""
    done = _done(run)
    if done is None:
        return False
    read_config(run)
    # Runs from before there were stamps have hashes alone; their networks can still be used.
    files = done.get("files", {name: [sha, 0, 0] for name, sha in done.get("sha256", {}).items()})
    if changed := check_files(run, files):  # a copy, for example
        with suppress(OSError):  # a folder that may only be read is hashed each time
            stamped = done | {"files": files | changed}
            write_atomically(run / DONE, json.dumps(stamped, indent=1), lasting=True)
    return not with_model or MODEL in {**files, **done.get("elsewhere", {})}


def holds_model(run: Path) -> bool:
    """Whether a run folder is complete, and the model that it kept is in it."""
    return is_finished(run, with_model=True) and MODEL not in read_done(run).get("elsewhere", {})


def begin_run(run: Path, config: dict) -> None:
    """Make the folder, write config.json, and remove what a killed process was writing."""
    run.mkdir(parents=True, exist_ok=True)
    remove(run, *UNNAMED)
    write_atomically(run / CONFIG, json.dumps(config, indent=1))


def remove(run: Path, *patterns: str) -> None:
    """Remove the files of a run folder that match a pattern."""
    for pattern in patterns:
        for path in run.glob(pattern):
            path.unlink(missing_ok=True)


def read_done(run: Path) -> dict:
    """done.json: best_epoch, best_val_loss (by which it is the best one), best_val_mse, epochs
    (trained), stopped (`recipe.reason_to_stop`), parts (`memory.read_memory`), machine (with
    compiled and the seconds in training), files, and elsewhere: those that stayed on that
    machine. A UserError where the run is not finished."""
    if (done := _done(run)) is None:
        raise UserError(f"{run}: holds no finished training; train it to its end.")
    return done


def _done(run: Path) -> dict | None:
    """done.json; None where the run is not finished."""
    path = run / DONE
    done = read_record(path, *_DONE_HAS)
    if done is not None and not isinstance(done.get("files", done.get("sha256")), dict):
        raise damaged(path, "it says nothing of files")
    return done


def _device(run: Path) -> str:
    """On what a finished run was trained."""
    return read_done(run).get("machine", {}).get("device", "unknown")


def read_config(run: Path) -> dict:
    """config.json of a run folder, see `Training.config`; without one, a UserError."""
    if (config := read_record(run / CONFIG, *_CONFIG_HAS)) is None:
        raise UserError(f"{run}: is no run folder, it has no {CONFIG}.")
    return config


def save_checkpoint(run: Path, state: dict, epoch: int) -> None:
    """Write a checkpoint whose name carries its own hash, and keep the one before it too."""
    partial = run / "checkpoint.writing"
    torch.save(state, partial)
    # The rename is what makes it exist, and it comes after the bytes are on the disk: a kill or a
    # power cut while writing leaves the previous one in charge.
    sync(partial)
    path = run / f"checkpoint_{epoch:06d}_{sha256_of(partial)[:16]}.pt"
    partial.rename(path)
    sync(run)
    same_epoch = [p for p in run.glob(f"checkpoint_{epoch:06d}_*.pt") if p != path]
    for old in [*same_epoch, *sorted(set(run.glob("checkpoint_*.pt")) - set(same_epoch))[:-2]]:
        old.unlink()


def load_checkpoint(run: Path, device: torch.device) -> dict | None:
    """The newest sound checkpoint of a run folder, or None; damaged ones are named, not used."""
    for path in sorted(run.glob("checkpoint_*.pt"), reverse=True):
        if path.stem.rsplit("_", 1)[1] == sha256_of(path)[:16]:
            return torch.load(path, map_location=device, weights_only=True)
        print(f"{path}: is damaged and was left out; going on from the checkpoint before it.")
    return None


def finish_run(
    run: Path, tables: dict[str, pd.DataFrame], outcome: dict, model: nn.Module | None
) -> None:
    """Write tables, the model where given, and last done.json; remove the checkpoints."""
    written = []
    for name, table in tables.items():
        written.append(run / f"{name}.parquet.writing")
        table.to_parquet(written[-1], index=False)
    if model is not None:
        written.append(run / f"{MODEL}.writing")
        torch.save(model.state_dict(), written[-1])
    finals = [path for path in (run / CONFIG, run / HISTORY) if path.exists()]
    for path in [*finals, *written]:
        sync(path)
    finals += [path.rename(path.with_suffix("")) for path in written]
    sync(run)  # all of it, before there is a file that says so
    files = {path.name: stamp(path) for path in finals}
    text = json.dumps(outcome | {"files": files}, indent=1)
    write_atomically(run / DONE, text, lasting=True)
    tidy_run(run)


def tidy_run(run: Path) -> None:
    """Remove what a finished run needs no more."""
    remove(run, *UNNAMED, "checkpoint_*.pt")


def load_model(run: Path) -> nn.Module:
    """The trained network of a finished run folder, on the CPU, in eval mode; a UserError where it
    is not finished, kept no model or has it on another machine, or is damaged."""
    if not is_finished(run, with_model=True):
        raise UserError(f"{run}: holds no trained model; run the training again to its end.")
    if not holds_model(run):
        raise UserError(
            f"{run}: its weights stayed on the machine that trained it "
            f"({_device(run)}); compute with them there, or delete this folder and train again "
            "here."
        )
    config = read_config(run)
    try:
        recipe = Recipe(**config["recipe"])
        model = new_network(config["model"], recipe, config["image_size"], load=False)
    except (TypeError, UserError) as error:
        raise damaged(run / CONFIG, f"it describes no network: {error}") from error
    try:
        model.load_state_dict(torch.load(run / MODEL, map_location="cpu", weights_only=True))
    except MemoryError:
        raise
    except Exception as error:  # whatever some bytes make of an unpickler
        raise damaged(run / MODEL, f"it holds no weights of {config['model']}") from error
    return model.eval()


def refuse_clips(run: Path, config: dict) -> None:
    """Refuse (UserError) a network that reads clips where single pictures are to be read."""
    if backbone_of(config["model"]) is not None:
        raise UserError(
            f"{run}: holds {config['model']}, which reads clips with their landmarks; choose a run "
            "of a network that reads pictures."
        )


def read_histories(runs: Sequence[Path]) -> pd.DataFrame:
    """The epochs of several runs in one table: columns model, recipe, data (label of the corpus),
    fold, seed and device, then those of `read_history`."""
    tables = []
    for run in runs:
        config = read_config(run)
        about = {name: config[name] for name in ("model", "data", "fold", "seed")}
        about |= {"recipe": config["recipe"]["name"], "device": _device(run)}
        tables.append(read_history(run).assign(**about))
    table = pd.concat(tables, ignore_index=True)
    first = ["model", "recipe", "data", "fold", "seed", "device"]
    return table[[*first, *table.columns.drop(first)]]


def read_history(run: Path) -> pd.DataFrame:
    """A run's epochs: epoch, train_mse and val_mse (in [-1, 1]), val_loss (what is trained, on the
    scale of the labels that are learned), seconds, parts (see `memory.read_memory`)."""
    path = run / HISTORY
    try:
        history = pd.read_csv(path)
        return history.astype({"epoch": int, "train_mse": float, "val_mse": float})
    except FileNotFoundError as error:
        raise damaged(path, "it is missing") from error
    except (ValueError, KeyError) as error:  # no table, or no such columns
        raise damaged(path, "it is no table of epochs") from error
