"""The live part: the training's own steps, faces that keep their numbers, bad pictures."""

import numpy as np
import pandas as pd
import pytest
import torch

from vaaffect.base.errors import UserError
from vaaffect.corpora import Corpus, landmark_corpus, read_pictures
from vaaffect.corpora.folds import subject_folds
from vaaffect.corpora.images import as_rgb, read_image
from vaaffect.corpora.tracking import MEMORY, FacesTracker, KnownFaces
from vaaffect.live import backends
from vaaffect.live.predictor import STAGES, Predictor, Smoother, find_run
from vaaffect.results.metrics import ccc
from vaaffect.results.predictions import read_predictions
from vaaffect.simulator import Scene, render, sample_identity
from vaaffect.training import run_folder
from vaaffect.training.batches import to_input
from vaaffect.training.epoch import predict
from vaaffect.training.networks import build_model

needs_openvino = pytest.mark.skipif(
    backends.importlib.util.find_spec("openvino") is None, reason="the extra `live` is not there"
)


def two_people(t: int) -> np.ndarray:
    """Two drawn people side by side, the left one nearer, swaying."""
    people = [sample_identity(np.random.default_rng(seed)) for seed in (1, 2)]
    halves = []
    for i, person in enumerate(people):
        x = 0.5 + 0.05 * np.sin(t / 4 + i)
        scene = Scene(centre=(x, 0.45), scale=0.22 - 0.03 * i)
        halves.append(render(person, np.zeros(17), scene, (360, 360))[0])
    return np.hstack(halves)


def test_same_frame_and_landmarks_give_the_training_crop_and_its_prediction(
    run, tiny_crops, tiny_corpus
):
    predictor = Predictor.from_run(run, device="cpu")
    split = subject_folds(tiny_crops.frames, 3)[0]
    tested = read_predictions([run])[["valence_pred", "arousal_pred"]].to_numpy(np.float32)
    caught = []
    network = predictor.network
    predictor.network = lambda crops: caught.append(crops) or network(crops)
    model = run_folder.load_model(run)
    for row, in_batch in list(zip(split.test, tested, strict=True))[:6]:
        picture, _ = read_image(tiny_corpus.root / tiny_corpus.frames["source"].iloc[row])
        (prediction,) = predictor.predict_faces(picture, [(0, tiny_corpus.landmarks[row])])
        assert caught[-1].tobytes() == np.asarray(tiny_crops.images[row]).tobytes()
        # The very function of training, on a batch of this crop alone: bit for bit.
        images = torch.from_numpy(tiny_crops.images)
        model = model.to(memory_format=torch.channels_last)
        alone = predict(model, images, np.array([row]), torch.device("cpu"))[0]
        assert np.array_equal(prediction.va, alone)
        # In the run's own test it stood in a larger batch: another order of sums, in bfloat16
        # (8 bits) where the processor has it.
        assert np.allclose(prediction.va, in_batch, atol=2e-2)
        assert prediction.va.dtype == np.float32 and np.abs(prediction.va).max() <= 1
        assert tuple(prediction.milliseconds) == STAGES


def test_a_wrong_step_would_be_noticed(run, tiny_crops):
    """The predictions depend on what is checked above: red and blue swapped gives others."""
    predictor = Predictor.from_run(run, device="cpu")
    crops = np.array(tiny_crops.images[:20])
    straight, swapped = predictor.network(crops), predictor.network(crops[..., ::-1].copy())
    assert np.abs(straight - swapped).max() > 0.02
    assert straight.std(axis=0).max() > 0.02


def test_a_single_face_has_the_landmarks_that_training_uses(tour, tour_path, tmp_path):
    names = ["subject", "clip", "frame", "time_s", "source", "source_index", "valence", "arousal"]
    rows = [("s", "c", t, 0.0, tour_path.name, t, 0.0, 0.0) for t in range(len(tour.pictures))]
    frames, problems = pd.DataFrame(rows, columns=names), pd.DataFrame()
    corpus = Corpus("afew-va", tour_path.parent, True, 1.0, frames, None, problems)
    trained = landmark_corpus(corpus, cache=tmp_path, workers=1).landmarks
    track = FacesTracker()
    pictures = read_pictures(tour_path.parent, frames["source"], frames["source_index"])
    for points, (_, picture, _) in zip(trained, pictures, strict=True):  # more than WHOLE_EVERY
        ((number, found),) = track(picture)
        assert number == 0
        assert np.array_equal(points, found)


def test_two_faces_keep_their_numbers_and_the_larger_comes_first():
    track = FacesTracker()
    for t in range(0, 36):
        faces = track(two_people(t))
        assert [number for number, _ in faces] == [0, 1]
        left, right = (points[:, 0].mean() for _, points in faces)
        assert left < 360 < right


def test_a_face_that_leaves_and_comes_back_and_one_that_was_never_there():
    track = FacesTracker()
    both = two_people(0)
    alone = both.copy()
    alone[:, 360:] = both[0, 0]
    nobody = np.full_like(both, 128)
    assert [n for n, _ in track(both)] == [0, 1]
    assert [n for n, _ in track(alone)] == [0]
    came_back = [[n for n, _ in track(both)] for _ in range(MEMORY)]
    assert came_back[-1] == [0, 1], "the same place, the old number"
    assert track(nobody) == []
    assert [n for n, _ in track(both)] == [0, 1]
    for _ in range(MEMORY + 1):
        assert track(nobody) == []
    assert [n for n, _ in track(both)] == [2, 3], "after that, nobody is remembered"
    track.reset()
    assert [n for n, _ in track(both)] == [0, 1]


def test_small_faces_beside_a_large_one_are_found_in_single_pictures():
    person = sample_identity(np.random.default_rng(1))
    large = render(person, np.zeros(17), Scene(), (1000, 1000))[0]
    small = render(person, np.zeros(17), Scene(scale=0.28), (200, 200))[0]
    large[:200, :200] = small
    assert len(FacesTracker(thorough=True)(large)) == 2


def test_pictures_of_other_kinds_are_converted_or_refused(tour):
    picture = tour.pictures[0]
    grey = picture.mean(axis=2).astype(np.uint8)
    assert np.array_equal(as_rgb(picture), picture)
    assert as_rgb(picture) is picture
    assert np.array_equal(as_rgb(grey), as_rgb(grey[:, :, None]))
    assert as_rgb(grey).shape == picture.shape
    rgba = np.dstack([picture, np.full(grey.shape, 7, np.uint8)])
    assert np.array_equal(as_rgb(rgba), picture)
    assert np.array_equal(as_rgb(picture.astype(np.uint16) * 257), picture)
    for wrong in (picture / 255, picture[None], picture[:, :, :2], picture[:0], np.zeros(3)):
        with pytest.raises(ValueError, match="picture"):
            as_rgb(wrong)


def test_a_huge_picture_has_the_box_of_the_small_one(run, tour):
    import cv2

    huge = cv2.resize(tour.pictures[0], None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    predictor = Predictor.from_run(run, device="cpu")
    (small,), (large,) = predictor(tour.pictures[0]), Predictor.from_run(run, device="cpu")(huge)
    assert np.allclose(np.array(large.box) / 8, small.box, atol=8)


def test_faces_outside_the_picture_are_left_out(run, tour):
    predictor = Predictor.from_run(run, device="cpu")
    away = tour.landmarks[0] + 5000
    assert predictor.predict_faces(tour.pictures[0], [(0, away)]) == []
    (prediction,) = predictor.predict_faces(tour.pictures[0], [(3, away), (4, tour.landmarks[0])])
    assert prediction.face == 4


def test_known_faces_begin_again():
    track = KnownFaces(np.arange(2 * 68 * 2).reshape(2, 68, 2))
    assert [len(track(None)) for _ in range(3)] == [1, 1, 0]
    track.reset()
    assert np.array_equal(track(None)[0][1], track.landmarks[0])


def test_smoothing_is_an_exponential_mean_over_time_per_face():
    smooth = Smoother(0.5)
    assert smooth(0, 0.0, np.array([0.0, 0.0])).tolist() == [0, 0]
    assert smooth(1, 0.0, np.array([1.0, 1.0])).tolist() == [1, 1], "another face starts anew"
    # Half a second later the old value weighs 1/e.
    assert smooth(0, 0.5, np.array([1.0, -1.0])) == pytest.approx([1 - np.exp(-1), np.exp(-1) - 1])
    with pytest.raises(UserError, match="above 0"):
        Smoother(0)


def test_a_run_is_found_by_folder_by_profile_and_otherwise_what_there_is(run, tmp_path):
    assert find_run(str(run)) == run
    assert find_run(str(run.parent)) == run
    with pytest.raises(UserError, match="no run folder and no profile"):
        find_run("no-such-profile")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "config.json").write_text("{}")
    with pytest.raises(UserError, match="holds no trained model"):
        find_run(str(empty))
    with pytest.raises(UserError, match="is no run folder"):
        Predictor.from_run(tmp_path)


def test_unknown_backends_and_devices_are_refused():
    model = build_model("resnet10", image_size=32)
    with pytest.raises(UserError, match="unknown backend 'tpu'; use one of torch, openvino"):
        backends.build_network(model, 32, "tpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no GPU"):
            backends.build_network(model, 32, "torch", "cuda")


@needs_openvino
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_openvino_agrees_with_pytorch(run, tiny_crops, precision):
    """Goal C3: the CCC with the labels changes by at most 0.002."""
    if precision == "bf16" and backends.openvino_precision() != "bf16":
        pytest.skip("this processor does not compute in bfloat16")
    crops, va = np.array(tiny_crops.images), tiny_crops.va
    model, x = run_folder.load_model(run).train(), to_input(torch.from_numpy(crops))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for _ in range(60):  # the goal is about networks that have learnt something
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(x), torch.from_numpy(va)).backward()
        optimizer.step()
    with torch.inference_mode():
        exact = model.eval()(x).clamp(-1, 1).numpy()
    assert min(ccc(va[:, i], exact[:, i]) for i in range(2)) > 0.8
    network = backends.compile_openvino(backends.openvino_model(model, 32), precision)
    predicted = network(crops)
    assert predicted.shape == (len(crops), 2) and predicted.dtype == np.float32
    assert np.abs(predicted - exact).max() < {"f32": 1e-4, "bf16": 2e-2}[precision]
    for i in range(2):
        assert abs(ccc(va[:, i], predicted[:, i]) - ccc(va[:, i], exact[:, i])) <= 0.002
    assert network(crops[:0]).shape == (0, 2)


@needs_openvino
def test_openvino_tells_nobody(run):
    """Its package of telemetry is kept out of the process."""
    import subprocess
    import sys

    code = (
        "import sys\nfrom vaaffect.live.backends import openvino\nopenvino()\n"
        "sent = [m for m in sys.modules if m.startswith('openvino_telemetry') and sys.modules[m]]\n"
        "assert 'openvino.tools.ovc' in sys.modules, 'the module that would report'\n"
        "sys.exit(f'loaded {sent}' if sent else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
