"""The mean of a network's weights along its training, which is often better than the last ones.

"ema": exponential, after every step (Polyak & Juditsky 1992; Tarvainen & Valpola 2017). "swa": the
plain mean at the ends of the last epochs (Izmailov et al. 2018). It has no batch statistics of its
own: those are found anew, on the training pictures, before anything is predicted.
"""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from . import distributed
from .batches import Batch, pick
from .recipe import Recipe
from .step import Step, as_input, autocast

SWA_FROM = 0.75  # share of the epochs after which "swa" begins
STATISTICS_BATCH = 128  # pictures at a time


class Average:
    """The mean beside the network (or head) that learns, which is left as it is."""

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self.learner, self.recipe = model, recipe
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.count = 0  # weights that went into the mean

    def step_and_follow(self, step: Step, batch: Batch) -> Tensor:
        """A step, after which an exponential mean takes in the weights; no part of a recorded
        graph. mean <- d mean + (1 - d) weights; d is the recipe's decay, or (1 + t) / (10 + t) in
        the first steps t, when the mean still holds the weights that nothing was learned with."""
        error = step(batch)
        if self.recipe.averaging == "ema":
            decay = min(self.recipe.decay, (1 + self.count) / (10 + self.count))
            self._take_in(1 - decay)
        return error

    def after_epoch(self, epoch: int) -> None:
        """Take the weights after an epoch (1-based) into a plain mean, if it is one of the last."""
        if self.recipe.averaging == "swa" and epoch > SWA_FROM * self.recipe.epochs:
            self._take_in(1 / (self.count + 1))

    @torch.no_grad()
    def _take_in(self, share: float) -> None:
        mean, new = list(self.model.parameters()), list(self.learner.parameters())
        torch._foreach_lerp_(mean, new, share)
        self.count += 1

    @property
    def current(self) -> nn.Module:
        """What is to be judged: the mean, or the network itself while there is none."""
        return self.model if self.count else self.learner

    def renew_statistics(self, images: Tensor, rows: np.ndarray, device: torch.device) -> None:
        """Give the mean's batch normalisation the statistics of the training pictures: the mean
        over batches of their means and variances, with all other layers in eval mode."""
        layers = [m for m in self.model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        if not layers or not self.count:
            return
        # Neighbouring rows are of one clip, and a batch of look-alikes has too little variance.
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
        mixed = torch.from_numpy(np.asarray(rows, np.int64))[order].to(images.device)
        momenta = [layer.momentum for layer in layers]
        self.model.eval()
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # each batch counts as much as any other
            layer.train()
        with torch.no_grad(), autocast(device):
            for part in mixed.tensor_split(-(-len(rows) // STATISTICS_BATCH)):
                mine = part[distributed.share(len(part))]
                self.model(as_input(pick(images, mine).to(device)))
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        self.model.eval()

    def state(self) -> dict:
        """What a checkpoint needs."""
        return {"model": self.model.state_dict(), "count": self.count}

    def load_state(self, saved: dict) -> None:
        """Be as a checkpoint says."""
        self.model.load_state_dict(saved["model"])
        self.count = saved["count"]
