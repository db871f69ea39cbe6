"""Weights from a file: read, compared with a network, and given to it.

A file of the user's own (VGGFace's weights, AffectNet's, or others) is known by its content, and so
are trainings that start from it: where it lies and what it is called are no part of them.
"""

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models as zoo

from ..base import UserError, known_sha256
from ..corpora import Crops
from .clip_network import ClipNetwork
from .networks import head_layers, head_name

NESTED = ("state_dict", "model_state_dict", "model")  # keys under which a checkpoint has them
PARALLEL = "module."  # what DataParallel puts before every key
NAMED = 3  # keys that a message names, and how many more there are
_SAVE = "torch.save(model.state_dict(), FILE)"


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights to start from; made by `at`."""

    path: Path
    key: str  # SHA-256 of its bytes

    @classmethod
    def at(cls, path: Path) -> "WeightsFile":
        """The file at a path; UserError where there is none that can be read."""
        return cls(path, _hash(path))

    def draw(self) -> bool:
        """As of `PretextStart`; nothing has to be made."""
        return False

    def weights(self, study: Sequence[Crops] = ()) -> Path:
        """The file. UserError where it is not what it was: another training would be learned."""
        if _hash(self.path) != self.key:
            raise UserError(f"{self.path}: was changed meanwhile; run again to start from it.")
        return self.path


def _hash(path: Path) -> str:
    try:
        path.stat()  # is_file tells nothing of why there is none
        if not path.is_file():
            raise UserError(f"{path}: is no file; name the file of a state dict.")
        return known_sha256(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{path}: there is no such file of weights; a recipe's weights are none, imagenet, "
            "pretext or the path of a state dict, which starts at the project's folder unless it "
            "is absolute."
        ) from error
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); make it readable, or name another file."
        ) from error


def start_from(network: nn.Module, path: Path, name: str) -> None:
    """Give a new network the weights in a file, see `fitting`; its last layer stays as it is."""
    state = fitting(network, path, name)
    backbone_in(network).load_state_dict(state)


def fitting(network: nn.Module, path: Path, name: str) -> dict[str, Tensor]:
    """The state of a new network with the weights in a file, its last layer's own excepted.

    In a network that reads clips it is that of its backbone, which has no fully connected layers;
    the file may have them. The file may also have the last layer, for whatever classes, and the
    side outputs that `networks.build_model` leaves out. Counters of batches may be missing, as
    older versions of PyTorch had none.

    Args:
        network: as of `networks.build_model`; it may be on the device "meta".
        path: of the file, see `read_state`.
        name: of the network, for messages.

    Raises:
        UserError: as of `read_state`; keys that are missing or superfluous, other shapes, values
            that are no numbers.
    """
    backbone = backbone_in(network)
    state = backbone.state_dict()
    if backbone is network:
        new = left_out = f"{head_name(network)}."
    else:
        new, left_out = (), f"{head_layers(backbone)[0]}."
    dropped = (left_out, *_dropped_by(backbone))
    wanted = {key: value for key, value in state.items() if not key.startswith(new)}
    stored = {
        key: value
        for key, value in read_state(path).items()
        if key in wanted or not key.startswith(dropped)
    }
    counters = ".num_batches_tracked"
    wrong = {
        "missing": [k for k in wanted if k not in stored and not k.endswith(counters)],
        "superfluous": [k for k in stored if k not in wanted],
    }
    if any(wrong.values()):
        said = "; ".join(f"{what}: {_some(keys)}" for what, keys in wrong.items() if keys)
        raise UserError(
            f"{path}: are weights of another network than {name} ({said}); take a state dict of "
            f"{name} with torchvision's names, and where a study has several networks, give each "
            "its own weights in PER_MODEL."
        )
    if others := [key for key in stored if stored[key].shape != wanted[key].shape]:
        first, *more = others
        sides = [" x ".join(map(str, of[first].shape)) or "one" for of in (stored, wanted)]
        raise UserError(
            f"{path}: {first} has {sides[0]} numbers there and {sides[1]} in {name}"
            f"{f' (and {len(more)} more have other shapes)' if more else ''}; set SIZE to that of"
            f" the pictures of these weights (torchvision's VGGs: 224), or take a state dict of"
            f" {name}."
        )
    if odd := [key for key, value in stored.items() if not value.isfinite().all()]:
        raise UserError(f"{path}: holds values that are no numbers, in {_some(odd)}; replace it.")
    state.update(stored)  # in place: the versions of its layers, which it carries, stay
    return state


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a file of `torch.save`, on the CPU; no code in the file is run.

    It may lie under one of the keys NESTED of a checkpoint, and its keys may begin with PARALLEL.

    Raises:
        UserError: the file is damaged, or holds something else.
    """
    if path.suffix == ".safetensors":
        raise UserError(
            f"{path}: is a file of safetensors, which are not read here; load it with "
            "safetensors.torch.load_file and torch.save the result."
        )
    try:
        with warnings.catch_warnings():  # of TorchScript, which is refused
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever the bytes of some file make of an unpickler
        if foreign := re.search(r"GLOBAL (\S+) was not an allowed", str(error)):
            raise UserError(
                f"{path}: holds an object of Python ({foreign[1]}), as a whole module or a "
                f"checkpoint does, and only tensors are read; save the state dict alone: {_SAVE}."
            ) from error
        raise UserError(
            f"{path}: cannot be read as a state dict, it is damaged, incomplete or something else; "
            f"copy it again, or write it with {_SAVE}."
        ) from error
    while isinstance(content, Mapping):
        inner = [content[key] for key in NESTED if isinstance(content.get(key), Mapping)]
        if not inner:
            break
        content = inner[0]
    if not isinstance(content, Mapping) or not content:
        what = type(content).__name__ if not isinstance(content, Mapping) else "nothing"
        raise UserError(f"{path}: is no state dict, it holds {what}; write it with {_SAVE}.")
    for key, value in content.items():
        if not (isinstance(key, str) and isinstance(value, Tensor)):
            raise UserError(
                f"{path}: is no state dict, {key!r} in it is no tensor but {type(value).__name__}; "
                f"write it with {_SAVE}."
            )
    begins = PARALLEL if all(key.startswith(PARALLEL) for key in content) else ""
    return {key.removeprefix(begins): value for key, value in content.items()}


def weights_label(model: str, path: Path) -> str:
    """What a study's manifest calls the file of weights that a network starts from."""
    return f"weights that {model} starts from ({path.name})"


def backbone_in(network: nn.Module) -> nn.Module:
    """What weights in a file are for: the network, or in one that reads clips what looks at each
    picture."""
    return network.backbone if isinstance(network, ClipNetwork) else network


def _dropped_by(network: nn.Module) -> tuple[str, ...]:
    """How keys begin in torchvision's files of layers that `networks.build_model` drops or moves,
    beside the last one."""
    if isinstance(network, zoo.GoogLeNet | zoo.Inception3):
        return "aux1.", "aux2.", "AuxLogits."
    return ("classifier.1.",) if isinstance(network, zoo.SqueezeNet) else ()


def _some(keys: Iterable[str]) -> str:
    keys = list(keys)
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return ", ".join(keys[:NAMED]) + more
