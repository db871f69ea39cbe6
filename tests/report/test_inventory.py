"""The inventory of the thesis: each row has a status, and what it names is there."""

import re

from vaaffect.base.paths import LIBRARY, NOTEBOOKS
from vaaffect.report.inventory import DIFFERENT, THERE, inventory, inventory_counts

STEMS = {path.stem for path in NOTEBOOKS.rglob("*.ipynb")}


def test_every_row_is_there_or_different_and_says_where_or_why():
    table = inventory()
    assert list(table) == ["section", "thesis", "status", "where_or_why"]
    assert set(table["status"]) == {THERE, DIFFERENT}
    assert not table.duplicated(["section", "thesis"]).any()
    assert all(re.match(r"\d(\.\d)*", section) for section in table["section"])
    assert (table.map(str.strip) != "").all(axis=None)
    counts = table["status"].value_counts()
    assert f"Of {len(table)} things" in inventory_counts()
    assert all(f"{count} are" in inventory_counts() for count in counts)


def test_every_notebook_and_module_that_is_named_is_there():
    for row in inventory().itertuples():
        where = row.where_or_why
        modules = re.findall(r"vaaffect/[\w/]+\.\w+", where)
        assert all((LIBRARY.parent / name).is_file() for name in modules), where
        notebooks = re.findall(r"\b(?:\d\d|p\d)_[a-z]\w+", where)
        assert set(notebooks) <= STEMS, where
        if row.status == THERE:
            assert modules or notebooks, f"{row.thesis}: is there, and nothing says where"


def test_every_section_of_the_thesis_with_something_in_it_has_a_row():
    first = {".".join(s.split(".")[:2]) for s in inventory()["section"].str.extract(r"([\d.]+)")[0]}
    chapters = {"1.2", "1.4", "2.1", "2.2", "3.1", "3.2", "3.3", "3.4", "3.5", "4.1", "4.2", "4.3"}
    assert first >= chapters | {"4.4", "5.1", "5.2", "7"}
