import tracemalloc

import numpy as np
import pandas as pd
import pytest
from made_up import elsewhere, predictions

from vaaffect.base.errors import UserError
from vaaffect.results.bootstrap import Bootstrap
from vaaffect.results.comparisons import differences, in_within_corpus_folds, mean_difference
from vaaffect.results.evaluation import evaluate
from vaaffect.results.predictions import NAMES, VALUES, check_predictions, joined


def test_good_predictions_pass():
    check_predictions(predictions())
    check_predictions(elsewhere())
    check_predictions(pd.concat([predictions(), predictions().assign(seed=1)]))


def planted(column: str, value: object, row: int = 7):
    return lambda t: t.assign(**{column: t[column].mask(t.index == row, value)})


BAD = {
    "no column": (lambda t: t.drop(columns="clip"), "no column 'clip'"),
    "no rows": (lambda t: t.iloc[:0], "no predictions"),
    "nan": (planted("valence_pred", np.nan), "valence_pred of m, fold 0, .* is not a finite"),
    "infinite": (planted("arousal_true", np.inf), "arousal_true of m, .* is not a finite"),
    "no subject": (planted("subject", None), "rows without subject"),
    "a row twice": (lambda t: pd.concat([t, t.iloc[[5]]]), "frame 0 of A more than once"),
    "a frame in two folds": (
        lambda t: pd.concat([t, t.iloc[[5]].assign(fold=3)]),
        "frame 0 of A more than once",
    ),
    "two labels": (
        lambda t: pd.concat([t, planted("valence_true", 0.123)(t).assign(model="n")]),
        "clip 0-1, frame 2 of A has two labels or two subjects",
    ),
    "two subjects": (
        lambda t: pd.concat([t, planted("subject", "s4")(t).assign(model="n")]),
        "clip 0-1, frame 2 of A has two labels or two subjects",
    ),
    "a missing fold": (lambda t: t[t["fold"] != 1], "folds 0, 2, 3, so fold 1 is missing"),
    "folds from 1": (lambda t: t.assign(fold=t["fold"] + 1), "so fold 0 is missing"),
    "other folds": (
        lambda t: pd.concat([t, t[t["fold"] < 3].assign(model="n")]),
        r"n \(r, seed 0\) on A has folds 0, 1, 2 where m .* has 0, 1, 2, 3",
    ),
    "fewer subjects than folds": (
        lambda t: t.assign(subject=t["fold"].clip(upper=2).astype(str)),
        "3 subjects in 4 folds; use fewer folds",
    ),
    "one subject in a fold": (
        lambda t: t[(t["fold"] != 2) | (t["subject"] == "s6")],
        "fold 2 of m .* tests a single subject",
    ),
    "a subject in two folds": (
        lambda t: t.assign(fold=t["fold"].mask(t["clip"] == "0-1", 1)),
        "subject s0 is tested in two folds of m",
    ),
}


@pytest.mark.parametrize("spoil, message", BAD.values(), ids=BAD)
def test_bad_predictions_are_refused_by_name(spoil, message):
    for use in (check_predictions, lambda t: evaluate(t, 1), lambda t: differences(t, "m")):
        with pytest.raises(UserError, match=message):
            use(spoil(predictions()))


def test_folds_that_do_not_keep_subjects_apart_may_share_them():
    """Such folds price the leak, and say so in the column `split`."""
    table = predictions()
    table = table.assign(fold=table["fold"].mask(table["clip"] == "0-1", 1), split="clip")
    check_predictions(table)


def test_on_another_corpus_every_fold_predicts_every_frame_once():
    table = elsewhere()
    with pytest.raises(UserError, match="of B more than once"):
        check_predictions(pd.concat([table, table.head(1)]))
    with pytest.raises(UserError, match="of A more than once"):
        check_predictions(table.assign(test_corpus="A"))


def test_joined_tables_hold_each_name_once_and_give_the_same_results():
    home, away = predictions(), elsewhere().assign(model="n")
    plain = pd.concat([home, away, home.assign(test_corpus="B", train_corpus="B", model="o")])
    table = joined([home, away, plain[plain["model"] == "o"]])
    assert (table.dtypes[NAMES] == "category").all()
    assert (table.astype(plain.dtypes.to_dict()).to_numpy() == plain.to_numpy()).all()
    assert ((table["train_corpus"] == table["test_corpus"]) == (table["model"] != "n")).all()
    again = joined([table[table["model"] == model] for model in ("m", "n", "o")])
    pd.testing.assert_frame_equal(again, table)
    few = Bootstrap(20)

    def against_o(rows: pd.DataFrame) -> pd.DataFrame:
        return differences(in_within_corpus_folds(rows[rows["model"] != "m"]), "o", bootstrap=few)

    for use in (lambda t: evaluate(t, 10, bootstrap=few), in_within_corpus_folds, against_o):
        found, expected = use(table), use(plain.reset_index(drop=True))
        expected = expected.astype(found.dtypes.to_dict())
        pd.testing.assert_frame_equal(found, expected, check_categorical=False, rtol=1e-12)
    with pytest.raises(UserError, match="no column 'frame'"):
        joined([home, away.drop(columns="frame")])


def test_a_row_of_predictions_is_small_and_evaluating_it_too():
    """A study of the real corpora has ten million rows, and 8 GiB for them and all else."""
    models, frames = 10, 20_000
    frame = np.tile(np.arange(frames), models)
    subject = 20 * frame // frames
    va = np.random.default_rng(0).normal(0, 0.3, (4, frames))[:, frame].clip(-1, 1)
    names = {"model": np.repeat([f"m{i}" for i in range(models)], frames), "recipe": "r"}
    names |= {"train_corpus": "A", "test_corpus": "A", "split": "subject", "seed": 0}
    names |= {"subject": subject.astype(str), "clip": subject.astype(str), "frame": frame}
    table = joined(
        [pd.DataFrame(names | dict(zip(VALUES, va, strict=True)) | {"fold": subject % 5})]
    )
    assert table.memory_usage(deep=True).sum() < 56 * len(table)
    tracemalloc.start()
    evaluate(table, 1, bootstrap=Bootstrap(50))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * len(table)


def test_a_comparison_checks_what_it_compares_and_nothing_else():
    table = pd.concat([predictions().assign(model=name) for name in "mno"], ignore_index=True)
    spoiled = table.assign(valence_pred=table["valence_pred"].mask(table["model"] == "o"))
    pair = [({"model": "m"}, {"model": "n"})]
    assert mean_difference(spoiled, pair, bootstrap=Bootstrap(20)).value == 0
    with pytest.raises(UserError, match=r"valence_pred of o, .* is not a finite"):
        mean_difference(spoiled, [({"model": "m"}, {"model": "o"})])
