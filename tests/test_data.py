import pytest

from vaaffect import data
from vaaffect.errors import UserError


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "SIMULATED", tmp_path)
    monkeypatch.delenv(data.AFEW_VA_VARIABLE, raising=False)


WORLD = {"clips": 2, "subjects": 2, "frames": [1, 2], "seed": 5}


def test_a_simulated_corpus_is_written_once_and_says_what_it_is(tmp_path):
    first = data.wild_corpus("simulated", WORLD)
    assert first.simulated and first.label == "AFEW-VA (simulated)"
    (root,) = tmp_path.iterdir()
    before = (root / "simulated.json").stat().st_mtime_ns
    again = data.wild_corpus("simulated", WORLD)
    assert (root / "simulated.json").stat().st_mtime_ns == before
    assert again.fingerprint() == first.fingerprint()
    other = data.wild_corpus("simulated", WORLD | {"seed": 6})
    assert other.fingerprint() != first.fingerprint()


def test_the_real_corpus_is_never_replaced_by_a_simulated_one(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="VAAFFECT_AFEW_VA is not set; set it to the folder"):
        data.wild_corpus("real", WORLD)
    monkeypatch.setenv(data.AFEW_VA_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="no such folder"):
        data.wild_corpus("real", WORLD)
    assert not list(tmp_path.iterdir())


def test_the_same_loader_reads_real_and_simulated(tiny_root, monkeypatch):
    monkeypatch.setenv(data.AFEW_VA_VARIABLE, str(tiny_root))
    corpus = data.wild_corpus("real", {})
    assert corpus.simulated  # its marker says so, whatever the profile calls it


def test_unknown_settings_are_refused():
    with pytest.raises(UserError, match="unknown WORLD key 'people'; a world has: clips"):
        data.wild_corpus("simulated", WORLD | {"people": 3})
    with pytest.raises(UserError, match="DATA is 'fake'"):
        data.wild_corpus("fake", WORLD)


def test_preparing_reports_progress_and_names_the_data():
    steps = []
    hashes = data.prepare(
        {"DATA": "simulated", "WORLD": WORLD}, lambda done, total: steps.append((done, total))
    )
    assert list(hashes) == ["AFEW-VA (simulated)"]
    assert steps[-1][0] == steps[-1][1]
