"""The trainings of a study, done before its notebooks, which then find them finished."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base import with_variables

if TYPE_CHECKING:  # torch takes seconds, and a mistake in a profile is told at once
    from ..training import How


def how_to_train(how: "How | None") -> "tuple[How, int]":
    """How to train: as it is said here, or by the environment, or as this machine does it best;
    and how many notebooks run at a time."""
    from ..base import at_once
    from ..training import How

    said = how or How.from_environment()
    if said is None:
        return How.of_this_machine(), at_once()
    return said, at_once() if said.cluster else said.jobs


def train_before(
    notebooks: Iterable[Mapping[str, Any]], runs: Path, how: "How", variables: Mapping[str, str]
) -> None:
    """Train, into the folder `runs`, what notebooks with these parameters ask for, all of it in
    processes of their own, with these environment variables; UserError names what failed."""
    from ..training import all_trainings, train_all

    with with_variables(variables):
        train_all(all_trainings(*notebooks), runs, how, apart=True)


def fetch_weights(models: Iterable[str], progress: Callable[[str, int, int], None]) -> None:
    """Download ImageNet's weights of these networks."""
    from ..training import fetch_imagenet

    models = list(models)
    for number, model in enumerate(models):
        progress(f"download ImageNet's weights of {model}", number, len(models))
        fetch_imagenet(model)


def weights_files(notebooks: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """SHA-256 of the files of weights that notebooks with these parameters start from, by what the
    manifest calls them."""
    from ..training import weights_files

    files = [weights_files(parameters) for parameters in notebooks]
    return {label: sha256 for each in files for label, sha256 in each.items()}
