"""The folder of one training: what determines it, its checkpoints, its results.

config.json        everything that determines the result
history.csv        a row per epoch
checkpoint_*.pt    while it runs; the name carries the file's own hash
predictions.parquet  a row per test frame
model.pt           the chosen epoch's weights, where asked for
done.json          written last, with the hashes of the results
"""

import hashlib
import json
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from .errors import UserError
from .files import sha256_of, write_atomically
from .models import build_model


def run_name(config: dict) -> str:
    """The name of a run folder: readable, and unique for what determines the result."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:8]
    recipe = config["recipe"]["name"]
    return f"{config['model']}_{recipe}_fold{config['fold']}_seed{config['seed']}_{digest}"


def is_finished(run: Path, with_model: bool = False) -> bool:
    """Whether a run folder is complete.

    Raises:
        UserError: a file of a finished run is not the one that was written.
    """
    if not (run / "done.json").exists():
        return False
    hashes = read_done(run)["sha256"]
    for name, expected in hashes.items():
        if not (run / name).exists() or sha256_of(run / name) != expected:
            raise UserError(f"{run / name}: is damaged; delete the folder {run} and run again.")
    return not with_model or "model.pt" in hashes


def read_done(run: Path) -> dict:
    """done.json of a finished run: best_epoch, best_val_mse, seconds, sha256."""
    return json.loads((run / "done.json").read_text())


def read_config(run: Path) -> dict:
    """config.json of a run folder, see `training.run_config`.

    Raises:
        UserError: there is none.
    """
    try:
        return json.loads((run / "config.json").read_text())
    except FileNotFoundError as error:
        raise UserError(f"{run}: is no run folder, it has no config.json.") from error


def save_checkpoint(run: Path, state: dict, epoch: int) -> None:
    """Write a checkpoint whose name carries its own hash, and keep the one before it too.

    The rename is what makes it exist, so a kill while writing leaves the previous one in charge.
    """
    partial = run / "writing.pt"
    torch.save(state, partial)
    partial.rename(run / f"checkpoint_{epoch:04d}_{sha256_of(partial)[:16]}.pt")
    for old in sorted(run.glob("checkpoint_*.pt"))[:-2]:
        old.unlink()


def load_checkpoint(run: Path, device: torch.device) -> dict | None:
    """The newest sound checkpoint of a run folder, or None; damaged ones are named, not used."""
    for path in sorted(run.glob("checkpoint_*.pt"), reverse=True):
        if path.stem.rsplit("_", 1)[1] == sha256_of(path)[:16]:
            return torch.load(path, map_location=device, weights_only=True)
        print(f"{path}: is damaged and was left out; going on from the checkpoint before it.")
    return None


def finish_run(
    run: Path, predictions: pd.DataFrame, outcome: dict, model: nn.Module | None
) -> None:
    """Write predictions, the model where given, and last done.json; remove the checkpoints."""
    predictions.to_parquet(run / "predictions.parquet", index=False)
    hashes = {"predictions.parquet": sha256_of(run / "predictions.parquet")}
    if model is not None:
        torch.save(model.state_dict(), run / "model.pt")
        hashes["model.pt"] = sha256_of(run / "model.pt")
    write_atomically(run / "done.json", json.dumps(outcome | {"sha256": hashes}, indent=1))
    for path in [*run.glob("checkpoint_*.pt"), run / "writing.pt"]:
        path.unlink(missing_ok=True)


def load_model(run: Path) -> nn.Module:
    """The trained network of a finished run folder, on the CPU, in eval mode.

    Raises:
        UserError: the run is not finished, kept no model, or is damaged.
    """
    if not is_finished(run, with_model=True):
        raise UserError(f"{run}: holds no trained model; run the training again to its end.")
    config = read_config(run)
    pretrained = config["recipe"]["weights"] == "imagenet"
    # A pretrained VGG keeps the 7 x 7 map that its weights were made for, whatever the image size.
    model = build_model(config["model"], None, 224 if pretrained else config["image_size"])
    model.load_state_dict(torch.load(run / "model.pt", map_location="cpu", weights_only=True))
    return model.eval()


def read_history(run: Path) -> pd.DataFrame:
    """A run's epochs: epoch, train_mse, val_mse, seconds."""
    return pd.read_csv(run / "history.csv")
