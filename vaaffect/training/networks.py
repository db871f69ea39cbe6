"""Networks with a head of two outputs: (valence, arousal).

The study compares VGG (Simonyan & Zisserman 2015, with batch normalisation) and ResNet (He et al.
2016). Beside them stand AlexNet (Krizhevsky 2014), which the authors of AFEW-VA finetuned (Kossaifi
et al. 2017), and all of torchvision's classifiers, by their names there, with its ImageNet weights.
"""

import difflib
import itertools
import re
from collections.abc import Sequence

import torch
from torch import nn
from torchvision import models as zoo

from ..base import UserError
from . import torch_cache
from .clip_network import ClipNetwork

# Members of the two families that are none of torchvision's; the tiny ones are for pictures of some
# 50 pixels, of about the same cost.
OURS = ("resnet10", "resnet_tiny", "vgg_tiny_bn")
# How people write the names of families; a longer one comes before its beginning.
_FAMILIES = {
    "alexnet": "AlexNet", "convnext": "ConvNeXt", "densenet": "DenseNet",
    "efficientnet": "EfficientNet", "googlenet": "GoogLeNet", "inception": "Inception",
    "maxvit": "MaxViT", "mnasnet": "MNASNet", "mobilenet": "MobileNet", "regnet": "RegNet",
    "resnet": "ResNet", "resnext": "ResNeXt", "shufflenet": "ShuffleNet",
    "squeezenet": "SqueezeNet", "swin": "Swin", "vgg": "VGG", "vit": "ViT",
    "wide_resnet": "Wide ResNet",
}  # fmt: skip

# Display name of each model; the colour of a family is the same in every figure.
NETWORK_NAMES = {}
for _name in (*OURS, *zoo.list_models(zoo)):
    _family = next(family for family in _FAMILIES if _name.startswith(family))
    _member = re.sub(r"(?<=[a-z_]\d)_(?=\d)", ".", _name)[len(_family) :]  # 0_5 is a number
    NETWORK_NAMES[_name] = _FAMILIES[_family] + _member.replace("_", "-")
# Networks that read clips, by the name of what looks at each picture: see `clip_network.py`.
CLIP, CLIP_LSTM = "affwildnet_", "affwildnet_lstm_"
NETWORK_NAMES |= {
    prefix + name: f"AffWildNet's shape, {cell}{shown}"
    for prefix, cell in ((CLIP, ""), (CLIP_LSTM, "LSTM, "))
    for name, shown in NETWORK_NAMES.items()
}
# The networks of the family, by the letter that torchvision has for their convolutions.
_VGGS = {
    f"vgg{n}{bn}": c for n, c in zip((11, 13, 16, 19), "ABDE", strict=True) for bn in ("", "_bn")
}
V1 = "IMAGENET1K_V1"  # the weights that were current when the thesis was written


def build_model(
    name: str, weights: str | None = None, image_size: int = 224, load: bool = True
) -> nn.Module:
    """A network that maps images (N, 3, S, S) to (N, 2): valence and arousal, unbounded.

    Its last layer is new. Inception and GoogLeNet come without the side outputs that once helped
    to train them on classes, and SqueezeNet without the rectifier behind its last layer, which
    would forbid negative predictions.

    Args:
        name: one of NETWORK_NAMES; "affwildnet_..." reads clips (`clip_network.ClipNetwork`).
        weights: "imagenet" loads torchvision's weights (all but the head); None starts from
            torchvision's random initialisation under the current torch seed.
        image_size: S, for which transformers and untrained VGGs are built.
        load: without, a network for these weights that does not have them yet.

    Raises:
        UserError: unknown name; pictures that the family cannot take; weights that do not exist,
            or cannot be had without a network, or whose file is another one.
    """
    if name not in NETWORK_NAMES:
        near = difflib.get_close_matches(name.lower().replace("-", "_"), NETWORK_NAMES, 3)
        known = ", ".join(known for known in NETWORK_NAMES if backbone_of(known) is None)
        hint = f"did you mean {' or '.join(near)}?" if near else f"one of {known}."
        raise UserError(f"unknown model {name!r}; {hint}")
    if (backbone := backbone_of(name)) is not None:
        seeing = build_model(backbone, weights, image_size, load)
        # Without its fully connected layers, from the first to the last.
        part_name, layers = head_layers(seeing)
        first = next(i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear))
        setattr(seeing, part_name, nn.Sequential(*layers[:first]))
        cell = "lstm" if name.startswith(CLIP_LSTM) else "gru"
        return ClipNetwork(seeing, layers[first].in_features, cell)
    if weights not in (None, "imagenet"):
        raise UserError(f'unknown weights {weights!r}; use "imagenet" or none.')
    if weights and (name in OURS or V1 not in zoo.get_model_weights(name).__members__):
        raise UserError(
            f"there are no ImageNet weights for {name}; take another model or train from random "
            "weights (RECIPE.weights none)."
        )
    _check_size(name, image_size, weights)
    if weights and load:
        return _with_two_outputs(_pretrained(name))
    return _with_two_outputs(_untrained(name, 224 if weights else image_size))


def _check_size(name: str, size: int, weights: str | None) -> None:
    """Refuse pictures that a family cannot take."""
    if name in OURS:
        return
    # The side of a picture must be a multiple of this, for a network built for one size.
    patch = 0
    if name.startswith("vit_"):
        patch = int(name.rsplit("_", 1)[1])
    elif name == "maxvit_t":
        patch = 224  # windows of 7 x 7, also on a map of 1/32 of the side
    if patch and weights and size != 224:
        raise UserError(
            f"{name} has its ImageNet weights for pictures of 224 pixels, these have {size}; use "
            "SIZE 224, or train from random weights (RECIPE.weights none)."
        )
    if patch and size % patch:
        raise UserError(
            f"{name} cuts pictures into squares, so their side must be a multiple of {patch} "
            f"pixels; these have {size}; use SIZE {max(patch, round(size / patch) * patch)}."
        )
    # Torchvision names the size that Swin was trained with, but it pads its windows.
    smallest = zoo.get_model_weights(name).DEFAULT.meta["min_size"][0]
    smallest = 32 if name.startswith("swin") else smallest
    if not patch and size < smallest:
        raise UserError(
            f"{name} needs pictures of at least {smallest} pixels, these have {size}; use SIZE "
            f"{smallest}, or resnet18 or vgg11_bn, which take smaller ones."
        )


def _untrained(name: str, image_size: int) -> nn.Module:
    if name == "vgg_tiny_bn":  # VGG's shape at a hundredth of its cost
        layers = zoo.vgg.make_layers([16, "M", 32, "M", 64, "M", 64, "M"], batch_norm=True)
        return _vgg(layers, nn.AdaptiveAvgPool2d(2), [nn.Linear(64 * 2 * 2, 64), nn.Linear(64, 2)])
    if name == "resnet10":  # one basic block per stage
        return zoo.ResNet(zoo.resnet.BasicBlock, [1, 1, 1, 1])
    if name == "resnet_tiny":
        return _resnet_tiny()
    options = {
        "vit": {"image_size": image_size}, "maxvit": {"input_size": (image_size, image_size)},
        # Unless told so, torchvision warns.
        "googlenet": {"init_weights": True}, "inception": {"init_weights": True},
    }  # fmt: skip
    # Torchvision stretches VGG's last map to 7 x 7 by repeating values; here a smaller one keeps
    # its size, which computes the same functions with fewer copies of each weight.
    side = image_size // 32  # of the map after VGG's five poolings
    if name in _VGGS and 1 <= side < 7:
        layers = zoo.vgg.make_layers(zoo.vgg.cfgs[_VGGS[name]], batch_norm=name.endswith("_bn"))
        sizes = itertools.pairwise([512 * side**2, 4096, 4096, 2])
        linear = [nn.Linear(*pair) for pair in sizes]
        for layer in linear:
            nn.init.normal_(layer.weight, 0, 0.01)  # as torchvision initialises them
            nn.init.zeros_(layer.bias)
        return _vgg(layers, nn.AdaptiveAvgPool2d(side), linear)
    return zoo.get_model(name, weights=None, **options.get(name.split("_")[0], {}))


def _vgg(layers: nn.Sequential, pooling: nn.Module, linear: Sequence[nn.Linear]) -> zoo.VGG:
    """A VGG of these layers, its convolutions initialised as torchvision does it."""
    with torch.device("meta"):  # shapes alone: to draw torchvision's own linear layers, for maps of
        model = zoo.VGG(nn.Identity(), init_weights=False)  # 7 x 7, would take a second
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    model.features, model.avgpool = layers, pooling
    between = [[layer, nn.ReLU(True), nn.Dropout()] for layer in linear[:-1]]
    model.classifier = nn.Sequential(*itertools.chain(*between), linear[-1])
    return model


def _resnet_tiny() -> zoo.ResNet:
    """A ResNet10 of a quarter of the channels and fewer, whose first layers halve a picture once,
    not twice: of 48 pixels, torchvision's leave a map of 2 x 2 to the last stage."""
    model = zoo.ResNet(zoo.resnet.BasicBlock, [1, 1, 1, 1])
    model.conv1 = nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.bn1, model.maxpool, model.inplanes = nn.BatchNorm2d(16), nn.Identity(), 16
    for stage, (channels, stride) in enumerate(((16, 1), (32, 2), (64, 2), (64, 2)), start=1):
        blocks = model._make_layer(zoo.resnet.BasicBlock, channels, 1, stride)
        for layer in blocks.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        setattr(model, f"layer{stage}", blocks)
    model.fc = nn.Linear(64, 2)
    return model


def _pretrained(name: str) -> nn.Module:
    weights = zoo.get_model_weights(name)[V1]
    try:
        torch_cache.require(weights.url, f"the ImageNet weights of {name}")
    except UserError as error:
        raise UserError(f"{error} Or train from random weights (RECIPE.weights none).") from error
    return zoo.get_model(name, weights=weights)


def _with_two_outputs(model: nn.Module) -> nn.Module:
    """Replace the last linear layer by a new one with two outputs (thesis, section 4.1)."""
    if isinstance(model, zoo.GoogLeNet | zoo.Inception3):
        model.aux_logits = False
        model.aux1 = model.aux2 = model.AuxLogits = None
        model.transform_input = False  # theirs is our scale, [-1, 1], already
    if isinstance(model, zoo.SqueezeNet):  # it averages its outputs over the places of its last map
        dropout, last = model.classifier[:2]  # to average the map first is the same
        last = nn.Linear(last.in_channels, 2)
        model.classifier = nn.Sequential(dropout, nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)
    put_head(model, nn.Linear(head_of(model).in_features, 2))
    return model


def backbone_of(name: str) -> str | None:
    """What looks at each picture in a network that reads clips; None for other networks."""
    prefix = next((p for p in (CLIP_LSTM, CLIP) if name.startswith(p)), None)
    return None if prefix is None else name.removeprefix(prefix)


def head_of(model: nn.Module) -> nn.Module:
    """The last layer: it maps the features of a picture to valence and arousal."""
    return model.get_submodule(head_name(model))


def put_head(model: nn.Module, head: nn.Module) -> None:
    """Replace the last layer; with `nn.Identity()` the network puts out its features."""
    model.set_submodule(head_name(model), head)


def head_name(model: nn.Module) -> str:
    """Where the last layer is, as its weights are called; families call it differently."""
    name, _ = head_layers(model)
    part = getattr(model, name)
    return f"{name}.{[*part._modules][-1]}" if isinstance(part, nn.Sequential) else name


def head_layers(model: nn.Module) -> tuple[str, list[nn.Module]]:
    """The name of the part that the last layer belongs to, and the layers in it."""
    name = next(name for name in ("fc", "classifier", "heads", "head") if hasattr(model, name))
    part = getattr(model, name)
    return name, [*part.children()] if isinstance(part, nn.Sequential) else [part]


def count_parameters(model: nn.Module) -> int:
    """Number of trainable weights."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
