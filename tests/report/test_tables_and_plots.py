import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from made_up import predictions

from vaaffect.report import error_plots, plots, tables
from vaaffect.results.bootstrap import Bootstrap
from vaaffect.results.error_analysis import by_density, by_subject, over_plane
from vaaffect.results.evaluation import evaluate, fold_summary

matplotlib.use("Agg")


@pytest.fixture
def ax():
    _, ax = plt.subplots()
    yield ax
    plt.close("all")


def test_tables_are_written_for_programs_and_for_people(tmp_path):
    table = pd.DataFrame({"model": ["a", "b"], "CCC": [0.123456789, np.nan]})
    assert tables.save_table(table, str(tmp_path), "04_x", "What it is.") is table
    again = pd.read_csv(tmp_path / "tables" / "04_x.csv")
    pd.testing.assert_frame_equal(again, table)
    text = (tmp_path / "tables" / "04_x.md").read_text()
    assert text == "What it is.\n\n| model | CCC |\n|---|---:|\n| a | 0.123 |\n| b | – |\n"


def test_the_fold_table_shows_mean_spread_interval_and_what_is_undefined():
    mine, constant = predictions(), predictions().assign(model="constant", valence_pred=0.1)
    summary = fold_summary(evaluate(pd.concat([constant, mine]), 10, bootstrap=Bootstrap(50)))
    table = tables.fold_table(summary)
    row = table[(table["model"] == "m") & (table["dimension"] == "arousal")].iloc[0]
    mean = summary.query("model == 'm' and dimension == 'arousal' and metric == 'PCC'").iloc[0]
    assert str(row["PCC"]) == (
        f"{mean['mean']:.2f} ± {mean['sd']:.2f} [{mean['low']:.2f}, {mean['high']:.2f}]"
    )
    assert (row["folds"], row["frames"], row["data"]) == (4, len(mine), "A")
    still = table[(table["model"] == "constant (training mean)")].set_index("dimension")
    assert str(still.loc["valence", "CCC"]) == tables.UNDEFINED
    assert tables.format_number(-0.126) == "−0.13"
    short = tables.headline(summary).set_index("model")
    rmse = summary.query("model == 'm' and dimension == 'valence' and scale == '[-1, 1]'")
    rmse = rmse[rmse["metric"] == "RMSE"].iloc[0]
    shown = f"{rmse['mean']:.2f} [{rmse['low']:.2f}, {rmse['high']:.2f}]"
    assert str(short.loc["m", "valence RMSE"]) == shown
    assert str(short.loc["constant (training mean)", "arousal CCC"]) != tables.UNDEFINED
    assert str(short.loc["constant (training mean)", "valence CCC"]) == tables.UNDEFINED


def test_shown_tables_are_rounded_without_an_index_and_break_before_intervals():
    table = pd.DataFrame({"model": ["a"], "CCC": ["0.50 [0.41, 0.56]"], "x": [-0.12345]}, index=[7])
    page = tables.show(table, digits=2).to_html()
    assert "0.50<br>[0.41, 0.56]" in page and "−0.12" in page
    assert ">7<" not in page
    assert tables.show(table).to_html() == tables.show(table).to_html()


def test_shown_words_stand_at_the_left_even_with_a_number_in_them():
    settings = pd.DataFrame({"changes": ["flip True", "lr 0.001"]})
    assert "text-align: left" in tables.show(settings).to_html()
    estimates = pd.DataFrame({"CCC": ["0.50 [0.41, 0.56]", "–"]})
    assert "text-align: left" not in tables.show(estimates).to_html()


def test_figures_are_saved_where_the_report_is(tmp_path, ax):
    path = plots.save_figure(ax.figure, str(tmp_path), "01_x")
    assert path == tmp_path / "figures" / "01_x.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_plane_is_square_and_named(ax):
    plots.plane(ax)
    assert ax.get_aspect() == 1
    assert ax.get_xlabel().startswith("valence") and ax.get_ylabel().startswith("arousal")
    assert {t.get_text() for t in ax.texts} >= {"happiness", "anger", "neutral"}


def test_every_face_stands_in_the_cell_of_its_label(ax):
    va = np.array([[-0.9, 0.9], [0.9, -0.9], [0.05, 0.0]])
    images = np.zeros((3, 8, 8, 3), np.uint8)
    plots.faces_on_plane(images, va, ax, cells=5, faces=True)
    extents = np.array([image.get_extent() for image in ax.images])
    for valence, arousal in va:
        left, right, bottom, top = extents.T
        inside = (left < valence) & (valence < right) & (bottom < arousal) & (arousal < top)
        assert inside.sum() == 1
    assert len(extents) == 3


@pytest.mark.parametrize(("faces", "shown", "in_file"), [
    (True, True, True), (False, False, False), (plots.DRAWN, True, False),
])  # fmt: skip
def test_a_picture_is_shown_or_its_landmarks_on_grey_and_the_file_says_so(
    ax, tmp_path, faces, shown, in_file
):
    image, points = np.zeros((60, 40, 3), np.uint8), np.full((68, 2), 30.0)
    image[:] = 255, 0, 255
    points[:17] = np.stack([np.linspace(5, 35, 17), np.full(17, 50)], axis=1)
    inset = ax.inset_axes([0, 0, 0.5, 0.5])
    plots.picture(inset, image, points, faces=faces, zorder=3)
    seen = np.asarray(inset.images[0].get_array())
    assert np.array_equal(seen, image) == shown
    if not shown:
        assert seen.shape == image.shape and (seen == seen[:, :, :1]).all()  # grey
        assert seen[50, 20, 0] < 200 < seen[20, 20, 0]  # the jaw's line, and none beside it
    path = plots.save_figure(ax.figure, str(tmp_path), "01_x")
    assert plots.shows_faces(path) == in_file


def test_fold_spread_draws_each_fold_in_the_row_of_its_model():
    mine, constant = predictions(), predictions().assign(model="constant", valence_pred=0.1)
    constant["arousal_pred"] = 0.1
    results = evaluate(pd.concat([constant, mine]), 10, bootstrap=Bootstrap(20))
    names = ["constant (training mean)", "m"]
    for metric, drawn in (("CCC", [1]), ("RMSE", [0, 1])):
        _, axs = plt.subplots(1, 2, sharey=True)
        plots.fold_spread(results, metric, axs)
        assert [t.get_text() for t in axs[0].get_yticklabels()] == names  # shared by both
        for ax in axs:
            rows = [dots.get_offsets()[:, 1].mean() for dots in ax.collections]
            assert rows == pytest.approx(drawn)
            assert all(len(dots.get_offsets()) == 4 for dots in ax.collections)
            assert [t.get_text() for t in ax.texts] == ["undefined"] * (2 - len(drawn))
    plt.close("all")


def test_the_plane_of_errors_has_a_colour_and_an_arrow_per_cell(ax):
    table = predictions().assign(valence_true=0.8, arousal_true=0.8)
    table = table.assign(valence_pred=0.1, arousal_pred=0.2)
    errors = over_plane(table, cells=5)
    error_plots.error_over_plane(errors, ax)
    arrows = [a for a in ax.texts if a.arrow_patch is not None]
    assert all(a.xyann == pytest.approx((0.8, 0.8)) for a in arrows) and arrows
    assert all(a.xy == pytest.approx((0.1, 0.2)) for a in arrows)
    (cells,) = ax.collections
    assert np.asarray(cells.get_array()) == pytest.approx([np.sqrt((0.7**2 + 0.6**2) / 2)])
    ax.clear()
    error_plots.error_over_plane(errors.assign(frames=9), ax)
    assert not ax.texts  # too few frames


def test_errors_by_density_and_by_person_have_a_line_per_model(ax):
    table = pd.concat([predictions(), predictions().assign(model="constant", valence_pred=0.1)])
    dense = by_density(table).query("dimension == 'valence'")
    error_plots.error_by_density(dense, ax)
    drawn = [line.get_ydata() for line in ax.lines]
    assert np.allclose(drawn, [of["RMSE"] for _, of in dense.groupby("model", sort=False)])
    ax.clear()
    people = by_subject(table).query("dimension == 'valence'")
    error_plots.error_by_person(people, ax)
    for line, (_, of) in zip(ax.lines, people.groupby("model", sort=False), strict=True):
        assert np.allclose(line.get_ydata(), sorted(of["RMSE"]))
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["m", "constant (training mean)"]


def test_a_network_from_scratch_has_a_row_of_its_own():
    mine = predictions()
    twin = mine.assign(recipe="demo from scratch", valence_pred=mine["arousal_pred"])
    results = evaluate(pd.concat([mine, twin]), 10, bootstrap=Bootstrap(20))
    summary = fold_summary(results)
    assert tables.headline(summary)["model"].tolist() == ["m", "m, from scratch"]
    assert tables.fold_table(summary)["model"].tolist() == ["m", "m, from scratch"] * 2
    _, axs = plt.subplots(1, 2, sharey=True)
    plots.fold_spread(results, "RMSE", axs)
    assert [t.get_text() for t in axs[0].get_yticklabels()] == ["m", "m, from scratch"]
    plt.close("all")


def test_several_seeds_are_one_row_with_a_dot_per_seed_and_fold():
    mine = predictions()
    other = mine.assign(seed=mine["seed"] + 1, valence_pred=mine["valence_pred"] * 0.5)
    results = evaluate(pd.concat([mine, other]), 10, bootstrap=Bootstrap(20))
    _, axs = plt.subplots(1, 2, sharey=True)
    plots.fold_spread(results, "RMSE", axs)
    (dots,) = axs[0].collections
    assert len(dots.get_offsets()) == 2 * 4
    summary = fold_summary(results)
    shown = summary.query("metric == 'RMSE' and scale == '[-1, 1]' and dimension == 'valence'")
    diamond = axs[0].lines[-1].get_xdata()
    assert diamond == pytest.approx(shown["mean"].to_list())
    assert tables.fold_table(summary)["seeds"].tolist() == [2, 2]
    plt.close("all")


def test_other_plots_label_their_axes(ax):
    table = predictions()
    plots.predicted_against_true(table, "arousal", ax)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("arousal, true", "arousal, predicted")
    history = pd.DataFrame({"epoch": [1, 2], "train_mse": [0.2, 0.1], "val_mse": [0.2, 0.15]})
    ax.clear()
    plots.learning_curves({"vgg11_bn": history}, ax, constant=0.3)
    assert "mean squared error" in ax.get_ylabel()
    assert len(ax.lines) == 3
    ax.clear()
    plots.label_histogram(table["valence_true"].to_numpy(), "valence", ax)
    assert sum(p.get_height() for p in ax.patches) == pytest.approx(100)
    ax.clear()
    plots.label_density(table[["valence_true", "arousal_true"]].to_numpy(), ax)
    assert ax.get_xlabel().startswith("valence")


def test_the_learning_curve_has_a_line_per_network_with_its_intervals(ax):
    curve = pd.DataFrame(
        {"model": model, "dimension": dimension, "subjects": n, "CCC": n / 100, "low": n / 200,
         "high": n / 50}
        for model in ("vgg11_bn", "resnet152")
        for dimension in ("valence", "arousal")
        for n in (40, 10, 20)  # in disorder
    )  # fmt: skip
    plots.training_size(curve, "arousal", ax)
    lines = {bar.get_label(): bar.lines for bar in ax.containers}
    assert list(lines) == ["VGG11-bn", "ResNet152"]
    for name, (data, caps, _) in lines.items():
        assert data.get_ydata().tolist() == [0.1, 0.2, 0.4]
        assert caps[0].get_ydata().tolist() == [0.05, 0.1, 0.2]
        assert data.get_color() == plots.model_colour(name.lower())
    assert lines["VGG11-bn"][0].get_marker() != lines["ResNet152"][0].get_marker()
    assert "training subjects" in ax.get_xlabel() and ax.get_ylabel() == "CCC"


def test_families_keep_their_colour():
    assert plots.model_colour("vgg11_bn") == plots.model_colour("vgg_tiny_bn")
    assert plots.model_colour("resnet18") == plots.model_colour("resnet152")
    assert len({plots.model_colour(m) for m in ("vgg11_bn", "resnet18", "constant")}) == 3


def test_the_transfer_table_sets_native_and_visitor_side_by_side(transfer):
    table = tables.transfer_table(transfer)
    assert len(table) == 2 * 2 * 2
    assert table["tested on"].tolist() == ["A"] * 4 + ["B"] * 4
    cell = transfer.query(
        "model == 'm' and train_corpus == 'A' and test_corpus == 'B' and dimension == 'arousal'"
    )
    cell = cell[(cell["metric"] == "CCC")].iloc[0]
    row = table[(table["tested on"] == "B") & (table["model"] == "m")].set_index("dimension")
    assert str(row.loc["arousal", "CCC, trained elsewhere"]) == (
        f"{cell['mean']:.2f} [{cell['low']:.2f}, {cell['high']:.2f}]"
    )
    still = table[table["model"] == "constant (training mean)"]
    assert set(still["CCC, trained there"].astype(str)) == {tables.UNDEFINED}


def test_the_transfer_matrix_has_a_number_in_each_cell(transfer, ax):
    plots.transfer_matrix(transfer, "m", "valence", "CCC", ax)
    texts = {text.get_text().split("\n")[0] for text in ax.texts}
    cells = transfer.query("model == 'm' and dimension == 'valence' and metric == 'CCC'")
    assert len(ax.texts) == 4 and texts == {f"{value:.2f}" for value in cells["mean"]}
    assert ax.get_xlabel() == "tested on" and ax.get_ylabel() == "trained on"
    assert plots.data_colour("AFEW-VA (simulated)") == plots.data_colour("AFEW-VA")
    assert plots.data_colour("AFEW-VA") != plots.data_colour("SEMAINE")
