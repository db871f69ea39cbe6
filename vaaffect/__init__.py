"""A reproducible study of facial valence and arousal.

Rooms in the order in which the data flows: simulator -> corpora -> training, classical -> results
-> report, live, widgets -> study (the runner); base is what all stand on. The text of each room
says what comes in and what goes out. Imports between rooms run one way: base, simulator, corpora,
results, training, classical, report, live, widgets, study.
Everywhere the order is (valence, arousal) and the range [-1, 1].
"""

__version__ = "0.1.0"
