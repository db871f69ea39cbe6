"""The two families the study compares, each with a head of two outputs: (valence, arousal).

VGG: Simonyan & Zisserman 2015, with batch normalisation. ResNet: He et al. 2016. Beside them
AlexNet (Krizhevsky 2014), which the authors of AFEW-VA finetuned (Kossaifi et al. 2017). All are
torchvision's own, so that its ImageNet weights fit.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torchvision import models as zoo

from .errors import UserError
from .files import sha256_of

# Display name of each model, and its family: the colour of a family is the same in every figure.
NAMES = {
    "alexnet": "AlexNet",
    "vgg_tiny_bn": "VGG-tiny-bn",
    "vgg11_bn": "VGG11-bn",
    "resnet10": "ResNet10",
    "resnet18": "ResNet18",
    "resnet50": "ResNet50",
    "resnet152": "ResNet152",
}
WITH_IMAGENET = ("alexnet", "vgg11_bn", "resnet18", "resnet50", "resnet152")
ALEXNET_SMALLEST = 64  # pixels; much less and nothing is left for AlexNet's last pooling


@dataclass(frozen=True)
class Start:
    """A file of weights to start from, all but the last layer's, and its SHA-256."""

    path: Path
    sha256: str


def build_model(name: str, weights: str | None = None, image_size: int = 224) -> nn.Module:
    """A network that maps images (N, 3, S, S) to (N, 2): valence and arousal, unbounded.

    Args:
        name: one of NAMES.
        weights: "imagenet" loads torchvision's weights (all but the head); None starts from
            torchvision's random initialisation under the current torch seed.
        image_size: S. Matters for an untrained VGG below 224 only: torchvision stretches its last
            map to 7 x 7 by repeating values; here the map keeps its own size, which computes the
            same functions with fewer copies of each weight. At 224 nothing is changed.

    Raises:
        UserError: unknown name; pictures too small for AlexNet; weights that do not exist, or
            cannot be had without a network.
    """
    if name not in NAMES:
        raise UserError(f"unknown model {name!r}; choose one of {', '.join(NAMES)}.")
    if name == "alexnet" and image_size < ALEXNET_SMALLEST:
        raise UserError(
            f"alexnet needs pictures of at least {ALEXNET_SMALLEST} pixels, these have "
            f"{image_size}; use SIZE {ALEXNET_SMALLEST}, or resnet18 or vgg11_bn."
        )
    if weights not in (None, "imagenet"):
        raise UserError(f'unknown weights {weights!r}; use "imagenet" or none.')
    if weights == "imagenet":
        return _with_two_outputs(_pretrained(name))
    return _with_two_outputs(_untrained(name, image_size))


def _untrained(name: str, image_size: int) -> nn.Module:
    if name == "vgg_tiny_bn":  # VGG's shape at a hundredth of its cost, for tests
        layers = zoo.vgg.make_layers([16, "M", 32, "M", 64, "M", 64, "M"], batch_norm=True)
        model = zoo.VGG(layers, num_classes=2)
        model.avgpool = nn.AdaptiveAvgPool2d(2)
        model.classifier = nn.Sequential(
            nn.Linear(64 * 2 * 2, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, 2)
        )
        return model
    if name == "resnet10":  # one basic block per stage, for tests
        return zoo.ResNet(zoo.resnet.BasicBlock, [1, 1, 1, 1])
    model = zoo.get_model(name, weights=None)
    side = image_size // 32  # of the map after VGG's five poolings
    if isinstance(model, zoo.VGG) and 1 <= side < 7:
        model.avgpool = nn.AdaptiveAvgPool2d(side)
        first = nn.Linear(512 * side**2, model.classifier[0].out_features)
        nn.init.normal_(first.weight, 0, 0.01)  # as torchvision initialises VGG's linear layers
        nn.init.zeros_(first.bias)
        model.classifier[0] = first
    return model


def _pretrained(name: str) -> nn.Module:
    if name not in WITH_IMAGENET:
        raise UserError(
            f"there are no ImageNet weights for {name}; choose one of {', '.join(WITH_IMAGENET)} "
            "or train from scratch (WEIGHTS none)."
        )
    # V1: the weights that were current when the thesis was written.
    weights = zoo.get_model_weights(name)["IMAGENET1K_V1"]
    try:
        return zoo.get_model(name, weights=weights)
    except OSError as error:  # includes URLError; torchvision has no exception of its own
        folder = torch.hub.get_dir() + "/checkpoints"
        raise UserError(
            f"the ImageNet weights of {name} could not be downloaded ({error}); download "
            f"{weights.url} where there is a network and put it into {folder}, or train from "
            "scratch (WEIGHTS none)."
        ) from error


def _with_two_outputs(model: nn.Module) -> nn.Module:
    """Replace the last linear layer by a new one with two outputs (thesis, section 4.1)."""
    put_head(model, nn.Linear(head_of(model).in_features, 2))
    return model


def head_of(model: nn.Module) -> nn.Module:
    """The last layer: it maps the features of a picture to valence and arousal."""
    return model.get_submodule(head_name(model))


def put_head(model: nn.Module, head: nn.Module) -> None:
    """Replace the last layer; with `nn.Identity()` the network answers with its features."""
    model.set_submodule(head_name(model), head)


def head_name(model: nn.Module) -> str:
    """Where the last layer is, as its weights are called."""
    if isinstance(model, zoo.VGG | zoo.AlexNet):
        return f"classifier.{len(model.classifier) - 1}"
    return "fc"


def start_from(network: nn.Module, start: Start) -> None:
    """Give a new network these weights; its last layer stays random.

    Raises:
        UserError: the weights are damaged, or those of another network.
    """
    if not start.path.exists() or sha256_of(start.path) != start.sha256:
        raise UserError(f"{start.path}: is damaged; delete {start.path.parent} and run again.")
    weights = torch.load(start.path, map_location="cpu", weights_only=True)
    head = {f"{head_name(network)}.{of}" for of in ("weight", "bias")}
    try:
        found = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # shapes differ
        raise UserError(f"{start.path}: are weights for another picture size.") from error
    if set(found.missing_keys) != head or found.unexpected_keys:
        raise UserError(f"{start.path}: are weights of another network.")


def count_parameters(model: nn.Module) -> int:
    """Number of trainable weights."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
