import numpy as np
import pytest

from vaaffect.base.errors import UserError
from vaaffect.training.recipe import Recipe, learning_rate, reason_to_stop, recipe_for


def test_one_cycle_rises_then_falls_and_constant_stays():
    recipe = Recipe(lr=0.1, schedule="one-cycle")
    rates = [learning_rate(recipe, step, 50) for step in range(50)]
    assert np.argmax(rates) in (9, 10) and max(rates) == pytest.approx(0.1)
    assert rates[-1] < 0.001 and np.all(np.diff(rates[10:]) < 0)
    assert {learning_rate(Recipe(lr=0.1), step, 50) for step in range(50)} == {0.1}


def test_recipes_are_checked():
    assert recipe_for("a", {"lr": 0.1}, {"a": {"lr": 0.2}}).lr == 0.2
    assert recipe_for("b", {"lr": 0.1}, {"a": {"lr": 0.2}}).lr == 0.1
    with pytest.raises(UserError, match="unknown recipe key 'learning_rate'"):
        recipe_for("a", {"learning_rate": 0.1}, {})
    with pytest.raises(UserError, match="unknown schedule"):
        Recipe(schedule="step")
    with pytest.raises(UserError, match="epochs >= 1"):
        Recipe(epochs=0)


def rows(train, val=None):
    return [
        {"train_mse": t, "val_mse": -v, "val_loss": v}
        for t, v in zip(train, val or [0.0] * len(train), strict=True)
    ]


def stopped_after(recipe, history):
    """The first number of epochs after which there is a reason to stop, and the reason."""
    for epochs in range(len(history) + 1):
        if reason := reason_to_stop(recipe, history[:epochs]):
            return epochs, reason
    return None


def test_without_a_rule_all_epochs_are_trained():
    assert stopped_after(Recipe(epochs=7), rows([1.0] * 9)) == (7, "epochs")


def test_converged_compares_the_means_of_two_windows():
    recipe = Recipe(epochs=100, stop="converged", window=3, min_gain=0.1)
    # Halves each epoch until the sixth, then stays; the noise is larger than min_gain.
    losses = [64, 32, 16, 8, 4, 2, *[2.2, 1.8, 2.0] * 10]
    # Means of three: after 9 epochs 14/3 -> 2, a gain of 57 %; after 10, (4 2 2.2) -> (1.8 2 2.2),
    # 27 %; after 11, (2 2.2 1.8) -> 2, none.
    assert stopped_after(recipe, rows(losses)) == (11, "converged")
    falling = [0.8**epoch for epoch in range(100)]
    assert stopped_after(recipe, rows(falling)) == (100, "epochs")
    rising = [1, 1, 1, 2, 2, 2]
    assert stopped_after(recipe, rows(rising)) == (6, "converged")


def test_early_waits_for_a_smaller_validation_error():
    recipe = Recipe(epochs=100, stop="early", patience=3)
    val = [5, 4, 4.5, 4.2, 3, 3, 3.5, 3, 2, 2, 2, 2]
    # The 3 of epoch 5 is not undercut by the equal ones, so its age is 3 after epoch 8.
    assert stopped_after(recipe, rows([1.0] * len(val), val)) == (8, "early")


def test_the_head_alone_needs_pictures_that_stay():
    Recipe(trained="head")
    for change in ({"flip": True}, {"shift": 0.1}, {"jitter": 0.1}):
        with pytest.raises(UserError, match='trains the "head" on features computed once'):
            Recipe(trained="head", **change)
    with pytest.raises(UserError, match='unknown trained \'last\'; use one of "all", "head"'):
        Recipe(trained="last")
    with pytest.raises(UserError, match="unknown stop"):
        Recipe(stop="soon")
    with pytest.raises(UserError, match="window >= 1"):
        Recipe(patience=0)
