"""One rater against the others, in the form of predictions: a yardstick for models.

A model is to agree with the mean of several raters. How well one of them agrees with the mean of
the others can be measured with the same metrics, on the same frames and with the same intervals, if
one rater's values are taken for predictions.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..base import UserError
from ..corpora import DIMENSIONS, Corpus, Session, Split, read_sessions
from .predictions import PREDICTION_COLUMNS, RATER


def rater_predictions(
    corpus: Corpus, splits: Sequence[Split] = (), tested: pd.DataFrame | None = None,
    sessions: Sequence[Session] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Each rater's values, beside the mean of the others, at the frames of a corpus.

    `corpus` is SEMAINE, as of `semaine.load_semaine`; UserError for one without raters. If
    raters are to be compared with models, `splits` are the folds in which these were tested, and
    `tested` the rows that they number, columns clip and frame. `sessions` are those of the corpus
    (`read_sessions`) if they have been read already.

    Returns PREDICTION_COLUMNS: `*_pred` is one rater, `*_true` the mean of the others; model RATER,
    `seed` the rater's number; one fold, or those of `splits`, and then only raters of two subjects
    or more in each of them, as intervals need. Frames that the rater or all others did not rate in
    one of the dimensions are left out, and so are sessions in which a dimension has one rater, who
    can be compared with nobody; the table may be empty. Raters are repetitions, as seeds of a model
    are: `evaluate` averages over them, and its interval is over subjects and raters.
    """
    if "valence_raters" not in corpus.frames:
        raise UserError(f"{corpus.label} does not say who rated what; use the laboratory corpus.")
    tables = []
    for session in read_sessions(corpus.root) if sessions is None else sessions:
        frames = corpus.frames[corpus.frames["clip"] == session.number]
        times = frames["time_s"].to_numpy()
        values = {d: {t.rater: t.at(times) for t in session.traces[d]} for d in DIMENSIONS}
        if min(map(len, values.values())) < 2:
            continue
        for rater in sorted(set(values["valence"]) & set(values["arousal"])):
            table = frames[["subject", "clip", "frame"]].assign(seed=int(rater))
            for dimension, by_rater in values.items():
                others = np.stack([v for name, v in by_rater.items() if name != rater])
                rated = np.isfinite(others).any(axis=0)
                mean = np.full(len(frames), np.nan)
                mean[rated] = np.nanmean(others[:, rated], axis=0)
                table[f"{dimension}_true"] = mean
                table[f"{dimension}_pred"] = by_rater[rater]
            tables.append(table.dropna())
    if not tables:
        return pd.DataFrame(columns=PREDICTION_COLUMNS)
    names = {"model": RATER, "recipe": "one against the mean of the others", "split": "subject"}
    names |= {"train_corpus": corpus.label, "test_corpus": corpus.label}
    table = pd.concat(tables, ignore_index=True).assign(**names, fold=0)
    if splits:
        parts = [
            tested.iloc[split.test][["clip", "frame"]].assign(fold=split.fold) for split in splits
        ]
        table = table.drop(columns="fold").merge(pd.concat(parts), on=["clip", "frame"])
        subjects = table.groupby(["seed", "fold"])["subject"].nunique().unstack(fill_value=0)
        subjects = subjects.reindex(columns=[split.fold for split in splits], fill_value=0)
        table = table[table["seed"].isin(subjects.index[(subjects >= 2).all(axis=1)])]
    return table[PREDICTION_COLUMNS]
