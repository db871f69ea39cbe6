"""Drawn faces whose expression follows valence and arousal, written as corpora on disk."""
