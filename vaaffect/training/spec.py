"""What is to be learned: one network on one fold, and what identifies it.

On which machine, by how many processes and how fast it is learned is no part of it. So a run that a
GPU or a cluster has finished is the run that a laptop looks for (see `run_folder.machine`).
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..base import UserError, digest
from ..corpora import Crops, Split, assert_disjoint
from .clip_network import check_rows
from .identity import learning_code
from .pretext import PretextStart
from .recipe import Recipe, check_fits
from .starting_weights import WeightsFile

Start = PretextStart | WeightsFile  # where weights are neither random nor ImageNet's


@dataclass(frozen=True)
class Training:
    """One network on one fold, trained by `loop.train`."""

    model: str  # one of `networks.NETWORK_NAMES`
    recipe: Recipe
    crops: Crops
    split: Split
    weight_seed: int = 0  # of initial weights, batch order, augmentation and dropout
    other_corpora: Sequence[Crops] = ()  # every frame is predicted too, after the test
    start: Start | None = None  # for a recipe whose weights are "pretext" or a file
    keep_model: bool = False  # whether model.pt (the chosen epoch's weights) stays after the test

    def __str__(self) -> str:
        return (
            f"{self.model} ({self.recipe.name}) on {self.crops.label}, fold {self.split.fold} by "
            f"{self.split.by}, seed {self.weight_seed}"
        )

    @property
    def label_scale(self) -> float:
        """What labels in [-1, 1] are multiplied by to be those that the recipe says are learned."""
        return self.crops.native_scale if self.recipe.labels == "native" else 1.0

    def identity(self) -> dict:
        """Everything that determines what is learned, and how its tables are labelled."""
        recipe = asdict(self.recipe)
        if self.recipe.weights_file is not None:
            recipe["weights"] = "file"  # wherever it lies; `start` is what is in it
        return {
            "model": self.model, "recipe": recipe,
            "data": self.crops.label, "crops": self.crops.key,
            "image_size": int(self.crops.images.shape[1]),
            "fold": self.split.fold, "by": self.split.by, "split": self.split.fingerprint(),
            "other_corpora": [crops.key for crops in self.other_corpora],
            "start": self.start and self.start.key,
            "seed": self.weight_seed, "code": learning_code(),
        }  # fmt: skip

    def config(self) -> dict:
        """What its run folder says: the identity, and what a file of weights was called."""
        names = {"start_file": self.start.path.name} if isinstance(self.start, WeightsFile) else {}
        return self.identity() | names

    @property
    def name(self) -> str:
        """The name of its run folder: readable, and unique for its identity."""
        recipe = re.sub(r"[^\w.,+ -]", "-", self.recipe.name)[:60]
        readable = f"{self.model}_{recipe}_fold{self.split.fold}_seed{self.weight_seed}"
        return f"{readable}_{digest(self.identity())[:8]}"

    def starting_weights(self) -> Path | None:
        """The file of weights to start from; those of a pretext task are made where they are
        missing (see `PretextStart`)."""
        if self.start is None:
            return None
        return self.start.weights((self.crops, *self.other_corpora))

    def check(self) -> None:
        """Refuse (UserError) a training that cannot be meant; an AssertionError where the split's
        parts share what its `by` says they do not."""
        assert_disjoint(self.split, self.crops.frames)
        check_fits(self.model, self.recipe)
        check_rows(self.crops, self.split.train, self.recipe.batch_size, self.recipe.sequence)
        for other in self.other_corpora:
            if other.images.shape[1:] != self.crops.images.shape[1:]:
                raise UserError(
                    f"crops of {other.label} have another size than those of {self.crops.label}; "
                    "make both with the same SIZE."
                )
        wanted = type(None) if self.recipe.weights_file is None else WeightsFile
        wanted = PretextStart if self.recipe.weights == "pretext" else wanted
        if not isinstance(self.start, wanted):
            given = {PretextStart: "weights of a pretext task", WeightsFile: "weights in a file"}
            raise UserError(
                f"recipe {self.recipe.name!r} has weights {self.recipe.weights!r}, and "
                f"{given.get(type(self.start), 'none')} to start from were given; give `start` for "
                '"pretext" (PretextStart) or a file (WeightsFile), and for nothing else.'
            )
