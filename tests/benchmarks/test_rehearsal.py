"""`bench rehearse`: its corpora have the counts that they promise, and real loaders read them."""

import pandas as pd
import pytest

from benchmarks.growth import write_wild
from benchmarks.rehearsal import QUICK, REAL, write_laboratory
from vaaffect.corpora import load_afew_va, load_semaine
from vaaffect.results import joined, read_predictions


def test_corpora_have_the_counts_of_the_table_and_no_marker(tmp_path):
    write_wild(tmp_path / "wild", QUICK.clips, QUICK.clip_frames, QUICK.clips / QUICK.actors)
    write_laboratory(tmp_path / "lab", QUICK)
    wild, lab = load_afew_va(tmp_path / "wild"), load_semaine(tmp_path / "lab")
    assert not wild.simulated and not lab.simulated
    assert wild.problems.empty and lab.problems.empty
    assert wild.frames["clip"].nunique() == QUICK.clips
    assert len(wild.frames) == QUICK.clips * QUICK.clip_frames
    assert wild.frames["subject"].nunique() == QUICK.actors
    assert lab.frames["clip"].nunique() == QUICK.sessions
    assert len(lab.frames) == QUICK.sessions * QUICK.session_frames // 10
    assert lab.frames["subject"].nunique() == QUICK.users
    assert (lab.frames["valence_raters"] == QUICK.raters).all()


def test_the_real_counts_are_those_of_the_publications():
    assert (REAL.clips, REAL.clips * REAL.clip_frames, REAL.actors) == (600, 30_000, 240)
    assert REAL.sessions * REAL.session_frames // 10 == pytest.approx(120_000, rel=0.01)


def test_a_row_of_predictions_takes_few_bytes(tmp_path):
    count = 50_000
    frame = pd.Series(range(count))
    names = {"model": "m", "recipe": "r", "train_corpus": "A", "test_corpus": "A"}
    values = {f"{d}_{kind}": frame.sample(frac=1, random_state=i).to_numpy() / count
              for i, (d, kind) in enumerate((d, k) for d in ("valence", "arousal")
                                            for k in ("true", "pred"))}  # fmt: skip
    table = pd.DataFrame({"frame": frame, "seed": 0, "fold": frame % 5, **values})
    table = table.assign(**names, split="subject", subject=(frame % 20).astype(str), clip="1")
    (tmp_path / "run").mkdir()
    joined([table]).to_parquet(tmp_path / "run" / "predictions.parquet", index=False)
    read = read_predictions([tmp_path / "run"])
    # Four numbers of 8 bytes, three of 4, and a code of 1 to 4 for each of seven names.
    assert 4 * 8 + 3 * 4 + 7 <= read.memory_usage(deep=True).sum() / count < 60
