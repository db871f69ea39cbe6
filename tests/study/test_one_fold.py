"""One training of a study without its notebooks."""

import pytest

from vaaffect.base import UserError
from vaaffect.study import one_fold


def test_one_training_by_hand_is_the_one_of_the_study():
    """The parameters come from the profile, over the notebook's own."""
    values = one_fold.notebook_parameters("smoke", "04")
    assert (values["FOLDS"], values["SIZE"], values["RECIPE"]["name"]) == (3, 32, "smoke")
    assert values["PROFILE"] == "smoke"  # by which its runs folder is named
    assert one_fold.notebook_parameters("demo", "05")["RECIPE"]["name"] == "demo"
    with pytest.raises(UserError, match="no network 'resnet152'; it has vgg_tiny_bn, resnet10"):
        one_fold.train_fold("smoke", "resnet152", 0, "wild")
    with pytest.raises(UserError, match="no fold 3; it has 0 to 2"):
        one_fold.train_fold("smoke", "resnet10", 3, "lab")


def test_a_file_of_weights_is_looked_at_before_faces_are_drawn(monkeypatch, tmp_path):
    values = one_fold.notebook_parameters("smoke", "04")
    recipe = values["RECIPE"] | {"weights": str(tmp_path / "nowhere.pt")}
    monkeypatch.setattr(one_fold, "notebook_parameters", lambda *_: values | {"RECIPE": recipe})
    monkeypatch.setattr(one_fold, "fold_training", None)
    with pytest.raises(UserError, match=r"nowhere\.pt: there is no such file of weights"):
        one_fold.train_fold("smoke", "resnet10", 0, "wild")
