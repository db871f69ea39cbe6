"""Networks that read a clip frame after frame, in the shape of AffWildNet (Kollias et al. 2019).

A convolutional network says what is in each picture; the frame's 68 landmarks join it before a
fully connected layer; two recurrent layers read frame after frame and remember; each frame gets its
(valence, arousal). The thesis quotes 80 frames per sequence, 4 sequences per batch and a learning
rate of 0.0001, not the widths of the layers; those below are ours.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..base import UserError
from ..corpora import Crops

CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}
WIDTH, HIDDEN, LAYERS = 512, 128, 2  # of the fully connected layer, of the recurrent ones, of them
POINTS = 2 * 68  # numbers


@dataclass(frozen=True)
class Windows:
    """Windows of consecutive annotated frames, each of one clip."""

    rows: np.ndarray  # (n, L) int64 rows of the crops, in the order of time
    # (n, L) whether a place counts in the loss and gives its frame's prediction: one per frame.
    counts: np.ndarray
    frames: np.ndarray  # (m,) the rows that were cut into windows, in the order in which they came
    points: Tensor  # (N, 136) float32 landmarks of all frames on the device, as `points_of`

    def __len__(self) -> int:
        return len(self.rows)

    def in_order(self, predictions: Tensor) -> Tensor:
        """(n, L, D) predictions for windows -> (m, D), one per frame, in the order of `frames`."""
        counts = torch.from_numpy(self.counts).to(predictions.device)
        place = np.empty(self.rows.max() + 1, np.int64)
        place[self.rows[self.counts]] = np.arange(self.counts.sum())
        return predictions[counts][torch.from_numpy(place[self.frames]).to(predictions.device)]


Rows = np.ndarray | Windows  # what batches are made of


def windows(crops: Crops, rows: np.ndarray, length: int, device: torch.device) -> Windows:
    """Cut the clips in some rows, (m,) and each once, into windows of `length` L.

    A window holds frames of one clip. What is left of a clip that L does not divide is read by a
    window that reaches back; a frame in both counts in the first, where more of its past was read.
    A clip shorter than L is read whole, and its last frame is held until the window is full: those
    places count for nothing, and the network reads forwards.
    """
    frames = crops.frames.iloc[rows][["clip", "frame"]].assign(row=np.asarray(rows, np.int64))
    made, counts = [], []
    for _, clip in frames.sort_values(["clip", "frame"]).groupby("clip", sort=False):
        clip_rows, done = clip["row"].to_numpy(), 0
        while done < len(clip_rows):
            start = max(0, min(done, len(clip_rows) - length))
            places = np.arange(start, start + length)
            made.append(clip_rows[np.minimum(places, len(clip_rows) - 1)])
            counts.append((places >= done) & (places < len(clip_rows)))
            done = start + length
    points = points_of(crops.landmarks, crops.images.shape[1])
    return Windows(
        np.stack(made), np.stack(counts), np.asarray(rows), torch.from_numpy(points).to(device)
    )


def units(crops: Crops, rows: np.ndarray, length: int, device: torch.device) -> Rows:
    """What batches are made of: rows as they are, or for a `length` above 1 windows of them."""
    return rows if length == 1 else windows(crops, rows, length, device)


def rows_of(units: Rows) -> np.ndarray:
    """(m,) the rows of the crops that units are made of, in the order of their predictions."""
    return units.frames if isinstance(units, Windows) else units


def check_batch(count: int, batch_size: int, length: int) -> None:
    """Refuse (UserError) fewer frames, or for a `length` above 1 windows, than fill one batch."""
    if count < batch_size:
        kind = f"windows of {length} frames" if length > 1 else "training frames"
        raise UserError(
            f"{count} {kind} are fewer than one batch of {batch_size}; use a smaller batch_size or "
            "more clips."
        )


def check_rows(crops: Crops, rows: np.ndarray, batch_size: int, length: int) -> None:
    """Refuse (UserError) rows to train on that do not fill one batch, and a `length` that no clip
    reaches: no such sequence would ever be seen."""
    clips = crops.frames.iloc[rows].groupby("clip").size()
    if length > 1 and clips.max() < length:
        raise UserError(
            f"no clip of {crops.label} has {length} annotated frames to train on (the longest, "
            f"{clips.idxmax()}, has {clips.max()}); set the recipe's sequence to at most "
            f"{clips.max()}."
        )
    check_batch(int(np.ceil(clips / length).sum()), batch_size, length)


def points_of(landmarks: np.ndarray, size: int) -> np.ndarray:
    """(N, 68, 2) landmarks in pixels of crops of a size -> (N, 136) float32; edges are -1 and 1."""
    return ((2 * landmarks + 1) / size - 1).reshape(len(landmarks), -1).astype(np.float32)


class ClipNetwork(nn.Module):
    """A backbone that maps pictures to so many features, landmarks, and recurrent layers of a kind
    of CELLS; see the module's text."""

    def __init__(self, backbone: nn.Module, features: int, cell: str = "gru") -> None:
        super().__init__()
        self.backbone = backbone
        self.joined = nn.Sequential(nn.Linear(features + POINTS, WIDTH), nn.ReLU())
        self.memory = CELLS[cell](WIDTH, HIDDEN, LAYERS, batch_first=True)
        self.head = nn.Linear(HIDDEN, 2)

    def forward(self, x: Tensor, points: Tensor) -> Tensor:
        """(B, L, 2) valence and arousal of every frame, each from the frames up to it, unbounded;
        from (B L, 3, S, S) pictures, window after window, and their (B, L, 136) landmarks."""
        seen = self.backbone(x).flatten(1)
        joined = self.joined(torch.cat([seen, points.flatten(0, 1)], 1)).float()
        with torch.autocast(x.device.type, enabled=False):  # small, and errors add up over time
            remembered, _ = self.memory(joined.unflatten(0, points.shape[:2]))
        return self.head(remembered)
