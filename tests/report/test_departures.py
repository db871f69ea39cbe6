"""The table of departures follows from a profile's parameters."""

import pytest

from vaaffect.base import NOTEBOOKS
from vaaffect.report import departures_table
from vaaffect.report.departures import SAME
from vaaffect.study.profiles import default_values, load_profile

NOTEBOOK = next(NOTEBOOKS.glob("04_*.ipynb"))


def departures_of(profile: str, **changes):
    given = load_profile(profile).parameters_for(NOTEBOOK)
    return departures_table(default_values(NOTEBOOK) | given | changes).set_index("what")


@pytest.mark.parametrize("profile", ["demo", "smoke", "gpu", "thesis", "thesis-try"])
def test_every_departure_says_why_and_what_is_expected_of_it(profile):
    table = departures_of(profile)
    assert table.index.is_unique and len(table) > 15
    same = table["this study"].str.startswith(SAME)
    assert (table.loc[~same, ["why", "expected effect"]] != "").all(axis=None)
    assert not table["this study"].str.fullmatch(SAME).iloc[0]  # what differs comes first


def test_the_profile_of_the_thesis_differs_only_where_it_says_so():
    table = departures_of("thesis")["this study"]
    for what in ("faces", "size of the pictures", "networks", "starting weights", "optimizer",
                 "scale of the labels that are learned", "schedule and augmentation"):  # fmt: skip
        assert table[what] == SAME, what
    assert "by subject" in table["folds"]


def test_a_recipe_with_other_settings_is_a_departure():
    recipe = load_profile("thesis").all["RECIPE"]
    table = departures_of("thesis", RECIPE=recipe | {"labels": "unit", "flip": True})["this study"]
    assert table["scale of the labels that are learned"] == "[−1, 1]"
    assert "at random" in table["schedule and augmentation"]
