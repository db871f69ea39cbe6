"""Crops -> predictions without networks: the constant baseline, and regressions on features."""

from .baselines import (
    CEILING,
    CONSTANT,
    DISPLAY,
    MOST_ROWS,
    check_names,
    constant_predictor,
    fair_baselines,
    fit_baselines,
    landmark_ceiling,
    reads_landmarks,
)

__all__ = [
    "CEILING", "CONSTANT", "DISPLAY", "MOST_ROWS", "check_names", "constant_predictor",
    "fair_baselines", "fit_baselines", "landmark_ceiling", "reads_landmarks",
]  # fmt: skip
