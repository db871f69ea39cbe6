"""A reproducible study of facial valence and arousal.

The modules follow the data: simulator -> corpus (afew_va) -> crops -> splits, models, training,
baselines -> metrics, evaluation -> plots, tables -> study (the runner), html (the pages).
Everywhere the order is (valence, arousal) and the range [-1, 1].
"""

__version__ = "0.1.0"
