import dataclasses

import numpy as np
import pytest
import torch

from vaaffect.base.errors import UserError
from vaaffect.results import metrics
from vaaffect.training.batches import Batch
from vaaffect.training.epoch import build_optimizer, epoch_losses
from vaaffect.training.losses import ccc_loss, density_weights, loss_between, mse_loss
from vaaffect.training.recipe import Recipe
from vaaffect.training.step import take_step


@pytest.fixture
def batch():
    """Predictions with an offset and a gain, and their labels."""
    rng = np.random.default_rng(0)
    va = rng.uniform(-1, 1, (40, 2))
    pred = 0.5 * va + [0.1, -0.2] + rng.normal(0, 0.2, (40, 2))
    return torch.from_numpy(pred).float().requires_grad_(), torch.from_numpy(va).float()


def test_ccc_loss_is_one_minus_the_ccc_of_the_metrics(batch):
    pred, va = batch
    wanted = 1 - np.mean([metrics.ccc(va[:, i], pred.detach()[:, i]) for i in (0, 1)])
    assert ccc_loss(pred, va).item() == pytest.approx(wanted, abs=1e-6)
    assert ccc_loss(va, va).item() == pytest.approx(0, abs=1e-6)
    assert ccc_loss(-va + 2 * va.mean(0), va).item() == pytest.approx(2, abs=1e-6)
    # Sequences (clips, frames, 2) are frames under each other.
    assert ccc_loss(pred.view(5, 8, 2), va.view(5, 8, 2)).item() == pytest.approx(wanted, abs=1e-6)


def test_losses_add_up_and_have_the_gradients_of_finite_differences(batch):
    pred, va = batch
    parts = [loss_between(pred, va, kind).item() for kind in ("mse", "ccc", "mse+ccc")]
    assert parts[0] == torch.nn.functional.mse_loss(pred, va).item()
    assert parts[2] == pytest.approx(parts[0] + parts[1])
    few, labels = pred.detach()[:5].double().requires_grad_(), va[:5].double()
    weights = torch.tensor([2.0, 0.5, 1.0, 1.0, 0.5], dtype=torch.float64)
    for kind in ("mse", "ccc", "mse+ccc"):
        assert torch.autograd.gradcheck(lambda p, k=kind: loss_between(p, labels, k, weights), few)


def test_a_batch_of_constant_labels_and_predictions_has_a_finite_loss():
    same = torch.full((6, 2), 0.3, requires_grad=True)
    loss = ccc_loss(same, torch.full((6, 2), 0.3))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(same.grad).all()


def test_a_frame_of_weight_two_counts_like_two_frames(batch):
    pred, va = batch
    weights = torch.ones(40)
    weights[:10] = 2
    twice = torch.cat([pred, pred[:10]]), torch.cat([va, va[:10]])
    assert ccc_loss(pred, va, weights).item() == pytest.approx(ccc_loss(*twice).item(), abs=1e-6)
    assert mse_loss(pred, va, weights / weights.mean()).item() == pytest.approx(
        mse_loss(*twice).item(), abs=1e-6
    )


def test_density_weights_are_the_inverse_of_a_planted_density():
    counts = {(-0.9, -0.9): 4, (0.0, 0.0): 60, (0.5, 0.7): 36}
    va = torch.cat([torch.tensor([place]).repeat(n, 1) for place, n in counts.items()])
    weights = density_weights(va)
    assert weights.mean().item() == pytest.approx(1)
    # 100 frames in three cells: each cell weighs a third of them.
    planted = torch.cat([torch.full((n,), 100 / 3 / n) for n in counts.values()])
    assert torch.allclose(weights, planted)
    halfway = density_weights(va, power=0.5)
    assert halfway.mean().item() == pytest.approx(1)
    assert (halfway[0] / halfway[10]).item() == pytest.approx((60 / 4) ** 0.5)
    assert torch.equal(density_weights(va, power=0), torch.ones(100))


def test_steps_report_the_plain_error_and_weights_come_from_training_rows_alone(tiny_crops):
    from vaaffect.training.networks import build_model

    images, va = torch.from_numpy(tiny_crops.images), torch.from_numpy(tiny_crops.va)
    rows, seen = np.arange(24), []

    def step_of(recipe, model, optimizer):
        def step(batch: Batch) -> torch.Tensor:
            seen.append(batch)
            return take_step(model, optimizer, recipe, batch)

        return step

    errors, changed = {}, {}
    plain = Recipe(batch_size=8, lr=0.01)
    for recipe in (plain, dataclasses.replace(plain, loss="ccc", density_weighting=1.0)):
        torch.manual_seed(0)
        model = build_model("resnet10", image_size=32)
        optimizer = build_optimizer(model, recipe)
        step = step_of(recipe, model, optimizer)
        errors[recipe.loss] = epoch_losses(model, optimizer, recipe, images, va, rows, 0, 0, step)
        changed[recipe.loss] = model.fc.weight.detach().clone()
    assert errors["mse"][0] == errors["ccc"][0]  # the same weights on the same batch
    assert not torch.allclose(changed["mse"], changed["ccc"])
    used = torch.cat([batch.weights for batch in seen[3:]])
    assert torch.allclose(used.sort()[0], density_weights(va[:24]).sort()[0])
    assert all(batch.weights is None for batch in seen[:3])


def test_unknown_losses_and_weightings_are_refused():
    with pytest.raises(UserError, match='unknown loss \'rmse\'; use one of "mse", "ccc"'):
        Recipe(loss="rmse")
    with pytest.raises(UserError, match="density_weighting is 2; use 0 to 1"):
        Recipe(density_weighting=2)
