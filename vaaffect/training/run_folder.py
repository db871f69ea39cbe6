"""The folder of one training; a kill at any moment leaves each file as it was, or whole.

config.json          everything that determines what is learned, see `spec.Training.config`
history.csv          a row per epoch
memory.json          where memory ran out: since which epoch batches go through in how many parts
checkpoint_*.pt      while it runs; the name carries the file's own hash
predictions.parquet  a row per test frame
validation.parquet   a row per frame of the inner validation part, by the same weights
model.pt             the chosen epoch's weights, where asked for
done.json            written last: how it ended, on what machine, and the hashes of the results
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
from ..base.cache import check_files, stamp
from . import distributed
from .adapt import new_network
from .networks import backbone_of
from .recipe import Recipe
from .step import autocast_dtype, default_device

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
    if not (run / "done.json").exists():
        return False
    done = read_done(run)
    # Runs from before there were stamps have hashes alone; their networks can still be used.
    files = done.get("files") or {name: [sha, 0, 0] for name, sha in done["sha256"].items()}
    if changed := check_files(run, files):  # a copy, for example
        with suppress(OSError):  # a folder that may only be read is hashed each time
            stamped = done | {"files": files | changed}
            write_atomically(run / "done.json", json.dumps(stamped, indent=1))
    return not with_model or "model.pt" in {**files, **done.get("elsewhere", {})}


def holds_model(run: Path) -> bool:
    """Whether a run folder is complete, and the model that it kept is in it."""
    return is_finished(run, with_model=True) and "model.pt" not in read_done(run).get(
        "elsewhere", {}
    )


def begin_run(run: Path, config: dict) -> None:
    """Make the folder, write config.json, and remove what a killed process was writing."""
    run.mkdir(parents=True, exist_ok=True)
    remove(run, *UNNAMED)
    write_atomically(run / "config.json", json.dumps(config, indent=1))


def remove(run: Path, *patterns: str) -> None:
    """Remove the files of a run folder that match a pattern."""
    for pattern in patterns:
        for path in run.glob(pattern):
            path.unlink(missing_ok=True)


def read_done(run: Path) -> dict:
    """done.json: best_epoch, best_val_loss (by which it is the best one), best_val_mse, epochs
    (trained), stopped (`recipe.reason_to_stop`), parts (`memory.read_memory`), machine (with
    compiled and the seconds in training), files, and elsewhere: those that stayed on that
    machine."""
    return json.loads((run / "done.json").read_text())


def read_config(run: Path) -> dict:
    """config.json of a run folder, see `Training.config`; without one, a UserError."""
    try:
        return json.loads((run / "config.json").read_text())
    except FileNotFoundError as error:
        raise UserError(f"{run}: is no run folder, it has no config.json.") from error


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
        written.append(run / "model.pt.writing")
        torch.save(model.state_dict(), written[-1])
    files = {}
    for path in written:
        sync(path)
        final = path.rename(path.with_suffix(""))
        files[final.name] = stamp(final)
    write_atomically(run / "done.json", json.dumps(outcome | {"files": files}, indent=1))
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
            f"({read_done(run)['machine']['device']}); compute with them there, or delete this "
            "folder and train again here."
        )
    config = read_config(run)
    recipe = Recipe(**config["recipe"])
    model = new_network(config["model"], recipe, config["image_size"], load=False)
    model.load_state_dict(torch.load(run / "model.pt", map_location="cpu", weights_only=True))
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
        config, device = read_config(run), read_done(run)["machine"]["device"]
        about = {name: config[name] for name in ("model", "data", "fold", "seed")}
        about |= {"recipe": config["recipe"]["name"], "device": device}
        tables.append(read_history(run).assign(**about))
    table = pd.concat(tables, ignore_index=True)
    first = ["model", "recipe", "data", "fold", "seed", "device"]
    return table[[*first, *table.columns.drop(first)]]


def read_history(run: Path) -> pd.DataFrame:
    """A run's epochs: epoch, train_mse and val_mse (in [-1, 1]), val_loss (what is trained, on the
    scale of the labels that are learned), seconds, parts (see `memory.read_memory`)."""
    return pd.read_csv(run / "history.csv")
