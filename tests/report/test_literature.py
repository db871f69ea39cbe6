import pytest

from vaaffect.report.literature import (
    METRICS,
    TITLES,
    measured_and_published,
    published_frame,
    published_pcc,
)


def test_published_figures_are_complete_and_plausible():
    table = published_frame()
    assert table["value"].notna().all()
    agreement = table[table["metric"] != "RMSE"]
    assert agreement["value"].between(-1, 1).all()
    assert set(table["table"]) == set(TITLES) == {1, 2, 3, 4}
    thesis = table.query("table == 2 and system == 'ResNet152, finetuned'")
    assert thesis.query("dimension == 'valence' and metric == 'PCC'")["value"].item() == 0.49
    assert (table["source"].str.len() > 0).all() and (table["scale"].str.len() > 0).all()


def test_published_figures_keep_the_digits_that_were_printed(transfer):
    table = measured_and_published(4, transfer, "A", "B").query("block == 'published'")
    shown = {str(cell) for name in table for cell in table[name] if name.split()[-1] in METRICS}
    assert {"0.3049", "0.1945", "0.1155", "0.0925", "0.030"} <= shown


def test_the_figures_of_table_3_cannot_be_on_one_scale():
    errors = published_frame().query("table == 3 and metric == 'RMSE'").set_index("system")["value"]
    assert errors["best of [7]"].max() > 2  # the largest error there is in [-1, 1]
    assert errors["VGG11, finetuned"].max() < 1


@pytest.mark.parametrize("number", TITLES)
def test_measured_and_published_rows_stand_in_blocks_of_their_own(number, transfer):
    table = measured_and_published(number, transfer, "A", "B")
    blocks = table["block"].tolist()
    assert blocks == sorted(blocks)  # measured here, then published
    mine, theirs = (table[table["block"] == b] for b in ("measured here", "published"))
    assert set(mine["source"]) == {"this study"} and "this study" not in set(theirs["source"])
    published = published_frame().query("table == @number")
    assert len(theirs) == len(published[["system", "source", "train"]].drop_duplicates())
    trained = {1: {"A"}, 2: {"A"}, 3: {"B"}, 4: {"A", "B"}}[number]
    assert set(mine["trained on"]) == trained
    if number == 4:
        assert (mine["trained on"] != mine["tested on"]).all()
    cell = mine[mine["system"] == "m"].iloc[0]
    here = transfer.query("model == 'm' and dimension == 'arousal' and metric == 'PCC'")
    here = here[(here["train_corpus"] == cell["trained on"])]
    here = here[(here["test_corpus"] == cell["tested on"])].iloc[0]
    assert str(cell["arousal PCC"]).startswith(f"{here['mean']:.2f} [")
    columns = [c for c in table if c.split()[-1] in METRICS]
    assert len(columns) == (2 if number == 1 else 6)


def test_a_method_is_published_under_the_name_of_its_like():
    vgg, forest, clips = map(published_pcc, ("vgg11_bn", "geometry-forest", "affwildnet_resnet10"))
    assert (vgg.system, vgg.valence, vgg.arousal) == ("VGG11, finetuned", 0.434, 0.377)
    assert (forest.system, forest.valence, forest.arousal) == ("best of [7]", 0.407, 0.45)
    assert (clips.system, clips.valence) == ("AffWildNet", 0.514) and "Kollias" in clips.source
    for unpublished in ("resnet18", "vgg_tiny_bn", "hog-svr", "constant", "geometry-ridge"):
        assert published_pcc(unpublished) is None
