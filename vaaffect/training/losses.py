"""What a training step makes small: the mean squared error, Lin's concordance, or both.

The thesis trains with the mean squared error and reports concordance. A network that is unsure does
well by the first to predict near the mean, which the second punishes; so the second was made a loss
itself (Trigeorgis et al. 2016; Kollias & Zafeiriou 2019). That of a batch is a noisy, and on
average smaller, stand-in for that of the corpus.
"""

import torch
from torch import Tensor, nn

from . import distributed

LOSSES = ("mse", "ccc", "mse+ccc")
CELLS = 9  # of the plane along each axis, in which `density_weights` counts
_TINY = 1e-8  # below the fraction: labels and predictions may both be constant in a batch


def loss_between(
    pred: Tensor, va: Tensor, kind: str = "mse", weights: Tensor | None = None
) -> Tensor:
    """The loss of one batch: `kind` is one of LOSSES, "mse+ccc" their plain sum.

    pred and va are (..., 2) float32 predictions and labels, columns (valence, arousal); weights
    (...) of each frame, 1 on average over the training rows.
    """
    loss = torch.zeros((), device=pred.device) if kind == "ccc" else mse_loss(pred, va, weights)
    return loss if kind == "mse" else loss + ccc_loss(pred, va, weights)


def mse_loss(pred: Tensor, va: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean squared error over frames and dimensions; arguments as of `loss_between`."""
    if weights is None:
        return nn.functional.mse_loss(pred, va)
    return (weights.unsqueeze(-1) * (pred - va).square()).mean()


def ccc_loss(pred: Tensor, va: Tensor, weights: Tensor | None = None) -> Tensor:
    """1 - Lin's concordance (`metrics.ccc`), averaged over valence and arousal; from 0 to 2.

    Arguments as of `loss_between`; weights make means, variances and covariance weighted ones.
    """
    pred, va = pred.reshape(-1, pred.shape[-1]), va.reshape(-1, va.shape[-1])
    w = torch.ones_like(pred[:, :1]) if weights is None else weights.reshape(-1, 1)
    # Several processes (torchrun) add up their sums, so that means are those of the whole batch.
    total = distributed.summed(w.sum())
    mean_p, mean_t = distributed.summed_through(
        torch.stack([(w * pred).sum(0), (w * va).sum(0)]) / total
    )
    p, t = pred - mean_p, va - mean_t
    var_p, var_t, cov = distributed.summed_through(
        torch.stack([(w * p * p).sum(0), (w * t * t).sum(0), (w * p * t).sum(0)]) / total
    )
    return (1 - 2 * cov / (var_p + var_t + (mean_p - mean_t).square() + _TINY)).mean()


def density_weights(va: Tensor, power: float = 1.0) -> Tensor:
    """(n,) float32: how much each training frame counts, so that rare labels count for more.

    The plane is cut into CELLS x CELLS; a frame's weight is the number of frames in its cell to the
    power -`power`, scaled to 1 on average. With 1 each cell that holds any frame counts as much as
    any other, 0 changes nothing. `va` are the (n, 2) labels of the training rows, in [-1, 1].
    """
    column, row = ((va + 1) / 2 * CELLS).floor().long().clamp(0, CELLS - 1).unbind(1)
    cell = CELLS * column + row
    ones = torch.ones_like(cell, dtype=torch.float32)
    held = torch.zeros(CELLS**2, device=va.device).index_add_(0, cell, ones)
    weights = held[cell] ** -power
    return weights / weights.mean()
