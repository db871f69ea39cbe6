"""What a comparison of two trainings can show: settings that differ, starts and budgets."""

from dataclasses import replace

import pytest

from vaaffect.training.fairness import budget_in_words, differing_settings, start_in_words
from vaaffect.training.pretext import PretextStart, pretext_recipe
from vaaffect.training.recipe import Recipe

FINETUNED = Recipe("r", epochs=5, weights="pretext")
TWIN = replace(FINETUNED, name="r from scratch", weights="none")


@pytest.fixture
def start(tmp_path) -> PretextStart:
    world = {"clips": 20, "subjects": 20, "frames": (2, 2), "seed": 5}
    return PretextStart("resnet10", pretext_recipe(FINETUNED, 3), world, 32, 0, tmp_path)


def test_settings_that_differ_are_named_with_both_values_and_names_do_not_count():
    assert differing_settings(FINETUNED, replace(FINETUNED, name="s")) == {}
    other = replace(FINETUNED, lr=0.5, batch_size=7)
    assert differing_settings(FINETUNED, other) == {"lr": (0.001, 0.5), "batch_size": (20, 7)}


def test_a_start_is_told_with_its_epochs_and_faces(start):
    assert start.faces == 40
    assert "3 epochs on 40 drawn faces" in start_in_words(FINETUNED, start)
    assert start_in_words(replace(FINETUNED, weights="imagenet"), None) == "ImageNet's weights"


def test_a_budget_says_whether_the_twin_was_given_the_pretext_s_epochs(start):
    said = budget_in_words(FINETUNED, TWIN, start)
    assert said.startswith("Both were trained for 5 epochs on the labels; the pretext task's 3")
    assert "on 40 drawn faces come in addition" in said
    said = budget_in_words(FINETUNED, replace(TWIN, epochs=8), start)
    assert "its twin from random weights for 8, 3 in addition" in said
    assert "the pretext task took 3 epochs" in said and "differ" not in said
    said = budget_in_words(replace(FINETUNED, weights="imagenet"), replace(TWIN, lr=0.1), None)
    assert "what training ImageNet's weights took is not counted" in said
    assert said.endswith("their recipes also differ in lr")
