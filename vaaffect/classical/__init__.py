"""Crops -> predictions without networks: the constant baseline, and regressions on features."""

from .baselines import (
    CONSTANT,
    DISPLAY,
    check_names,
    constant_predictor,
    fit_baselines,
    reads_landmarks,
)

__all__ = [
    "CONSTANT", "DISPLAY", "check_names", "constant_predictor", "fit_baselines",
    "reads_landmarks",
]  # fmt: skip
