import numpy as np
import pytest

from vaaffect.base.errors import UserError
from vaaffect.classical.features import FEATURES, MEASURES, geometry, hog, lbp


@pytest.fixture(scope="module")
def faces(tiny_crops) -> np.ndarray:
    return tiny_crops.landmarks[::3].astype(np.float64)


def column(landmarks: np.ndarray, name: str) -> np.ndarray:
    return geometry(landmarks)[:, 136 + MEASURES.index(name)]


def test_geometry_sees_neither_place_nor_size_nor_roll(faces):
    angle = np.deg2rad(25)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    base = geometry(faces)
    assert base.shape == (len(faces), 136 + len(MEASURES))
    np.testing.assert_allclose(geometry(faces + np.array([30.0, -7.0])), base, atol=1e-9)
    np.testing.assert_allclose(geometry(3.5 * faces), base, atol=1e-9)
    np.testing.assert_allclose(geometry(faces @ turn), base, atol=1e-9)
    # The two differ, so the invariance is not that of a constant; stretching is seen.
    assert np.ptp(base, axis=0).min() > 0
    assert not np.allclose(geometry(faces * [1.0, 1.2]), base, atol=1e-2)


def test_geometry_is_upright_and_in_its_units(faces):
    points = geometry(faces)[:, :136].reshape(-1, 68, 2)
    np.testing.assert_allclose(points[:, 36, 1], points[:, 45, 1], atol=1e-9)
    assert (points[:, 36, 0] < points[:, 45, 0]).all()  # not upside down
    np.testing.assert_allclose((points**2).sum(axis=2).mean(axis=1), 1)
    np.testing.assert_allclose(points.mean(axis=1), 0, atol=1e-9)
    eyes = np.linalg.norm(faces[:, 45] - faces[:, 36], axis=1)
    mouth = np.linalg.norm(faces[:, 54] - faces[:, 48], axis=1)
    np.testing.assert_allclose(column(faces, "mouth width"), mouth / eyes)


def test_named_measures_follow_the_face(faces):
    eyes = np.linalg.norm(faces[:, 45] - faces[:, 36], axis=1).mean()
    open_mouth = faces.copy()
    open_mouth[:, 65:68, 1] += 0.1 * eyes
    assert (column(open_mouth, "mouth opening") > column(faces, "mouth opening") + 0.05).all()
    smile = faces.copy()
    smile[:, [48, 54], 1] -= 0.1 * eyes
    surprise = faces.copy()
    surprise[:, 17:27, 1] -= 0.1 * eyes
    for side in ("left", "right"):
        corner, brow = f"{side} lip corner", f"{side} brow, inner"
        assert (column(smile, corner) > column(faces, corner) + 0.05).all()
        assert (column(surprise, brow) > column(faces, brow) + 0.05).all()


def test_faces_without_a_shape_are_refused_and_a_profile_is_not(faces):
    bad = faces.copy()
    bad[2] = 5.0
    with pytest.raises(UserError, match=r"of 1 faces have no shape \(first: row 2\)"):
        geometry(bad)
    bad[1, 4, 0] = np.nan
    with pytest.raises(UserError, match=r"of 2 faces have no shape \(first: row 1\)"):
        geometry(bad)
    profile = faces.copy()
    profile[:, 36] = profile[:, 45]
    assert np.isfinite(geometry(profile)).all() and np.abs(geometry(profile)).max() < 10


@pytest.mark.parametrize("kind", ["hog", "lbp"])
def test_pictures_of_every_size_have_the_same_dimension(kind, tiny_crops):
    images = np.array(tiny_crops.images[:4])
    measured = {
        side: FEATURES[kind](images.repeat(side // 32, axis=1).repeat(side // 32, axis=2))
        for side in (32, 64, 128, 224)
    }
    for values in measured.values():
        assert values.shape == (4, {"hog": 1568, "lbp": 944}[kind])
        assert values.dtype == np.float32 and values.min() >= 0 and values.max() <= 1
    # The same picture at another size is more like itself than like another face.
    near = np.linalg.norm(measured[64] - measured[128], axis=1)
    far = np.linalg.norm(measured[64] - measured[128][::-1], axis=1)
    assert (near < far).all()


@pytest.mark.parametrize("function", [hog, lbp])
def test_pictures_keep_their_rows_whatever_stands_beside_them(function, tiny_crops):
    images = np.array(tiny_crops.images[:6])
    whole = function(images)
    np.testing.assert_array_equal(function(images[[4, 1]]), whole[[4, 1]])
    assert np.linalg.norm(whole[0] - whole[1:], axis=1).min() > 0


def test_hog_tells_where_edges_run():
    # One picture with stripes that stand, one with stripes that lie.
    standing = np.zeros((64, 64, 3), np.uint8)
    standing[:, ::8] = standing[:, 1::8] = 255
    lying = standing.transpose(1, 0, 2).copy()
    strongest = hog(np.stack([standing, lying])).reshape(2, -1, 8).sum(axis=1).argmax(axis=1)
    assert list(strongest) == [0, 4]  # the gradient at 0 and at 90 degrees, of 8 bins over 180


def test_lbp_is_a_histogram_that_light_does_not_change(tiny_crops):
    images = np.array(tiny_crops.images[:4]) // 2
    values = lbp(images)
    np.testing.assert_allclose(values.reshape(4, 16, 59).sum(axis=2), 1, atol=1e-6)
    # Ties and rounding of the grey values move a few patterns.
    assert np.abs(lbp(images + 60) - values).sum(axis=1).max() < 2  # of at most 32
    assert np.abs(lbp(255 - images) - values).sum(axis=1).min() > 4
