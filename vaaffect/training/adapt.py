"""What a recipe changes in a network itself: the normalisation of its input, its dropout, and
while it learns the scale of its output.

The names and shapes of its weights stay, so weights of one network fit the other; but a trained
network must be used with what it was trained with.
"""

import torch
from torch import Tensor, nn

from ..base import UserError
from .networks import build_model, head_of
from .recipe import Recipe

# Of ImageNet's pictures in [0, 1], as torchvision's weights expect them.
IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# By normalisation of a recipe, mean and sd of pixels from 0 to 1: (pixel - mean) / sd is what a
# network sees. For "none" that are the values from 0 to 255.
_SCALES = {"imagenet": (IMAGENET_MEAN, IMAGENET_SD), "none": ((0.0,) * 3, (1 / 255,) * 3)}


class Normalise(nn.Module):
    """Pictures in [-1, 1], as `batches.to_input` gives them, to another normalisation of a recipe
    ("imagenet" or "none")."""

    def __init__(self, normalisation: str) -> None:
        super().__init__()
        mean, sd = (torch.tensor(x).view(1, 3, 1, 1) for x in _SCALES[normalisation])
        # x -> ((x + 1) / 2 - mean) / sd. Constants, so no part of the weights that are stored.
        self.register_buffer("gain", 0.5 / sd, persistent=False)
        self.register_buffer("offset", (0.5 - mean) / sd, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, 3, S, S)."""
        return x * self.gain + self.offset


def new_network(name: str, recipe: Recipe, image_size: int, load: bool = True) -> nn.Module:
    """A network as a recipe has it, see `networks.build_model`."""
    weights = "imagenet" if recipe.weights == "imagenet" else None
    return adapt(build_model(name, weights, image_size, load), recipe, name)


def adapt(network: nn.Module, recipe: Recipe, name: str) -> nn.Module:
    """Change a new network (`name`, for messages) in place, as a recipe says, and return it. The
    thesis's recipe changes nothing."""
    if recipe.dropout is not None:
        layers = [m for m in network.modules() if isinstance(m, nn.Dropout) and m.p > 0]
        if recipe.dropout and not layers:
            raise UserError(
                f"recipe {recipe.name!r} sets dropout to {recipe.dropout}, but {name} has no "
                "dropout layer; leave dropout out of its recipe, or take a network that has one, "
                "such as vgg11_bn."
            )
        for layer in layers:
            layer.p = recipe.dropout
    if recipe.normalisation in _SCALES:
        network.add_module("normalise", Normalise(recipe.normalisation))
        network.register_forward_pre_hook(_normalised)
    return network


def divide_output(head: nn.Module, scale: float) -> None:
    """Let a network whose last layer learns labels on the scale [-scale, scale] predict in [-1, 1]:
    what `head` puts out is divided by it, until `fold_scale`."""
    if scale != 1:
        head.scale_hook = head.register_forward_hook(
            lambda module, inputs, output: output.float() / scale
        )


def fold_scale(network: nn.Module, scale: float) -> None:
    """Divide the weights of a trained network's last layer instead of its output: from here on it
    is a network like any other, which predicts in [-1, 1]."""
    if scale != 1:
        head = head_of(network)
        head.scale_hook.remove()
        with torch.no_grad():
            head.weight /= scale
            head.bias /= scale


def _normalised(network: nn.Module, inputs: tuple) -> tuple:
    """What the network is called with, its pictures normalised."""
    pictures, *others = inputs
    return (network.normalise(pictures), *others)
