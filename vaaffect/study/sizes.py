"""What a study takes at the size of the real corpora, besides training, in memory and on the disk:
coefficients for the estimates of `preflight`.

Measured on made-up predictions and features, on two cores of a server's CPU. Bytes travel between
machines.
"""

GIBIBYTE = 2**30

# Memory ------------------------------------------------------------------------------------------
# For each predicted row, in notebook 05: it holds all rows, twice but for those from scratch. With
# 10.5 million rows and 1000 bootstrap samples its peak was 2.8 GiB, 0.2 of which are the imports.
PREDICTION_ROW_PEAK = 270
# A fit of the multi-kernel SVR on 4000 rows: two kernels' sums and what they are made of.
BASELINE_FIT = 1.3 * GIBIBYTE

# Disk --------------------------------------------------------------------------------------------
PREDICTION_ROW_ON_DISK = 33  # of Parquet, labels and predictions that differ from row to row


def crops_on_disk(frames: int, size: int) -> int:
    """Bytes of face crops of so many frames, squares of `size` pixels, with their landmarks."""
    return frames * (3 * size * size + 68 * 2 * 4)
