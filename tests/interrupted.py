"""Trainings that are interrupted after some of their epochs."""

import pytest

from vaaffect.training import loop, run_folder


class StoppedError(Exception):
    """In the place of whatever ends a training."""


def stop_after(monkeypatch: pytest.MonkeyPatch, *epochs: int) -> list[int]:
    """From now on every epoch but the last ends with a checkpoint, and some with a StoppedError
    after it; returns the epochs whose checkpoints were written, which grow in number."""
    saved, save = [], run_folder.save_checkpoint

    def save_and_stop(run, state, epoch):
        save(run, state, epoch)
        saved.append(epoch)
        if epoch in epochs:
            raise StoppedError

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(run_folder, "save_checkpoint", save_and_stop)
    return saved
