"""What a study takes at the size of the real corpora, besides training, in memory and on the disk:
coefficients for estimates before it begins.

Measured with `python -m vaaffect bench rehearse` and, for predictions and baselines, on made-up
rows, on two cores of a server's CPU. Bytes travel between machines; seconds do so roughly.
"""

GIBIBYTE = 2**30

# Memory ------------------------------------------------------------------------------------------
# A row of predictions, as `results.joined` holds it: seven categories, three whole numbers, four
# numbers. Notebook 05 holds all rows, twice but for those from scratch; its peak with 10.5 million
# rows and 1000 bootstrap samples was 2.8 GiB, 0.2 of which are the imports.
PREDICTION_ROW = 53
PREDICTION_ROW_PEAK = 270
# A frame's designed features, float32 or (geometry) float64: columns of `classical.FEATURES`.
FEATURES_FRAME = {"geometry": 8 * 154, "hog": 4 * 1568, "lbp": 4 * 944}
# A fit of the multi-kernel SVR on 4000 rows: two kernels' sums and what they are made of.
BASELINE_FIT = 1.3 * GIBIBYTE

# Disk --------------------------------------------------------------------------------------------
PREDICTION_ROW_ON_DISK = 33  # of Parquet, labels and predictions that differ from row to row


def crops_on_disk(frames: int, size: int) -> int:
    """Bytes of face crops of so many frames, squares of `size` pixels, with their landmarks."""
    return frames * (3 * size * size + 68 * 2 * 4)


def prediction_rows(wild: int, lab: int, folds: int, both: int, wild_only: int) -> int:
    """Rows of predictions that notebook 05 holds, of corpora of `wild` and `lab` frames: `both`
    counts the methods and networks (with seeds) that are trained on either corpus, `wild_only`
    those in the wild alone. Each predicts its own corpus once, the other one by every fold."""
    in_wild, in_lab = wild + folds * lab, lab + folds * wild
    return both * (in_wild + in_lab) + wild_only * in_wild
