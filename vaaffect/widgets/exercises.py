"""What the check cells of the notebooks' exercises share.

An exercise is three cells: its task; a cell tagged `answer`, which begins `# your answer` and has
`...` where something is to be found; and a cell tagged `check`, which asserts, with messages that
say what is wrong. While a `...` is left the check is green, so that an unanswered notebook runs.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def check(*answers: Any) -> Callable[[Callable[[], None]], None]:
    """Run the function below at once; where a `...` is left among the answers, say so instead.

    A function, so that a check's own names are not in the way of the student's.
    """

    def run(body: Callable[[], None]) -> None:
        if any(answer is ... for answer in answers):
            print("Not answered yet.")
        else:
            body()

    return run


def numbers(value: ArrayLike, shape: tuple[int, ...], name: str) -> np.ndarray:
    """An answer as float64 array, whether it is a list, a Series, a tensor or a single number.

    AssertionError, with the `name` that the answer cell gives it, where it has another shape (() is
    one number) or holds something that is no finite number.
    """
    value = value.detach().cpu() if hasattr(value, "detach") else value
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise AssertionError(f"`{name}` holds {value!r}; numbers are asked for.") from None
    array = array.reshape(shape) if array.size == 1 == np.prod(shape) else array
    asked = "one number" if shape == () else f"an array of shape {shape}"
    assert array.shape == shape, f"`{name}` has shape {array.shape}; {asked} is asked for."
    assert np.isfinite(array).all(), f"`{name}` is not finite: {array}."
    return array
