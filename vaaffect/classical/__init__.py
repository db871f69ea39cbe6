"""Crops -> predictions without networks: the constant baseline, and regressions on features."""

from .baselines import CONSTANT, DISPLAY, constant_predictor, fit_baselines, reads_landmarks

__all__ = [
    "CONSTANT",
    "DISPLAY",
    "constant_predictor",
    "fit_baselines",
    "reads_landmarks",
]
