"""Augmentations: what they do to a pixel, seen from outside by what they make of a ramp."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

import jaxmlp
from jaxmlp import augment

SHAPE = (20, 24)
HEIGHT, WIDTH = SHAPE
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)


# Strengths are arguments of the program, so that augmentations of one kind share it.
compiled = jax.jit(lambda augmentation, key, x: augmentation(key, x))


def apply(augmentation, images, key=0):
    """Augment (n, height, width), flattened for the call."""
    x = jnp.asarray(np.reshape(images, (len(images), -1)))
    return np.asarray(compiled(augmentation, jax.random.key(key), x)).reshape(np.shape(images))


def origins(augmentation, n, key=0):
    """Where each new pixel's value comes from: interpolation keeps linear functions, so ramps show it; with NaN around
    the image, what touches the outside is NaN. Draws depend on key and n alone, so both ramps see the same."""
    marked = dataclasses.replace(augmentation, fill=np.nan)
    return [apply(marked, np.broadcast_to(ramp, (n, *SHAPE)), key) for ramp in (ROWS, COLUMNS)]


def random_images(n, seed=0):
    return np.random.default_rng(seed).uniform(size=(n, *SHAPE))


def linear_map(rows, columns):
    """The matrix and shift that take a new pixel, from the centre, to its origin, by least squares; and the error."""
    inside = ~np.isnan(rows)
    centre = np.array([(HEIGHT - 1) / 2, (WIDTH - 1) / 2])
    p = np.stack([ROWS[inside], COLUMNS[inside]], axis=1) - centre
    q = np.stack([rows[inside], columns[inside]], axis=1) - centre
    design = np.concatenate([p, np.ones((len(p), 1))], axis=1)
    solution, *_ = np.linalg.lstsq(design, q, rcond=None)
    return solution[:2].T, solution[2], np.max(np.abs(design @ solution - q))


def test_without_strengths_nothing_changes():
    images = random_images(5)
    np.testing.assert_array_equal(apply(augment.distort(SHAPE), images.astype(np.float32)), images.astype(np.float32))
    np.testing.assert_array_equal(apply(augment.random_crop(SHAPE, 0), images.astype(np.float32)), np.float32(images))


def test_rotation_turns_about_the_centre_by_angles_of_the_range(x64):
    angles = []
    for rows, columns in zip(*origins(augment.distort(SHAPE, rotation=30.0), 200), strict=True):
        matrix, shift, error = linear_map(rows, columns)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(2), atol=1e-12)  # float64 sums of 480 points
        assert np.linalg.det(matrix) > 0 and np.max(np.abs(shift)) < 1e-12 and error < 1e-11
        angles.append(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))
    assert np.max(np.abs(angles)) <= 30
    # Uniform in +-30: 200 of them have mean 0 with deviation 17.3 / sqrt(200) = 1.2, four of those; and fill the range.
    assert abs(np.mean(angles)) < 5 and np.max(angles) > 28 and np.min(angles) < -28


def test_zoom_shear_and_shift_do_each_what_they_say(x64):
    n = 100
    for rows, columns in zip(*origins(augment.distort(SHAPE, zoom=0.2), n), strict=True):
        matrix, shift, _ = linear_map(rows, columns)
        np.testing.assert_allclose(matrix, matrix[0, 0] * np.eye(2), atol=1e-12)
        assert 1 / 1.2 <= matrix[0, 0] <= 1 / 0.8 and np.max(np.abs(shift)) < 1e-12
    for rows, columns in zip(*origins(augment.distort(SHAPE, shear=0.3), n), strict=True):
        matrix, _, _ = linear_map(rows, columns)
        np.testing.assert_allclose(matrix[[0, 0, 1], [0, 1, 1]], [1, 0, 1], atol=1e-12)
        assert abs(matrix[1, 0]) <= 0.3  # columns per row: upright lines slant
    shifts = []
    for rows, columns in zip(*origins(augment.distort(SHAPE, shift=3.0), n), strict=True):
        matrix, shift, _ = linear_map(rows, columns)
        np.testing.assert_allclose(matrix, np.eye(2), atol=1e-12)
        shifts.append(shift)
    shifts = np.array(shifts)
    assert np.max(np.abs(shifts)) <= 3 and np.all(shifts.std(axis=0) > 1.4)  # 3 / sqrt(3) = 1.73
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.4  # the two directions are drawn apart; deviation 0.1


def test_values_are_scipys_bilinear_interpolation_at_those_places(x64):
    everything = augment.distort(SHAPE, rotation=20.0, zoom=0.1, shear=0.2, shift=2.0, elastic=20.0, smoothness=3.0)
    n, images = 6, random_images(6)
    new = apply(everything, images)
    for image, found, rows, columns in zip(images, new, *origins(everything, n), strict=True):
        inside = ~np.isnan(rows)
        assert inside.mean() > 0.5
        expected = map_coordinates(image, [rows[inside], columns[inside]], order=1)
        np.testing.assert_allclose(found[inside], expected, atol=1e-11)  # origins are known to 1e-13, slopes up to 1


def test_the_nearest_pixels_are_scipys_of_order_0(x64):
    settings = {"rotation": 20.0, "zoom": 0.1, "shear": 0.2, "shift": 2.0, "elastic": 20.0, "smoothness": 3.0}
    n, images = 6, random_images(6)
    new = apply(augment.distort(SHAPE, **settings, interpolation="nearest"), images)
    for image, found, rows, columns in zip(images, new, *origins(augment.distort(SHAPE, **settings), n), strict=True):
        inside = ~np.isnan(rows)
        assert inside.mean() > 0.5
        np.testing.assert_array_equal(found[inside], map_coordinates(image, [rows[inside], columns[inside]], order=0))
    assert set(np.unique(new)) <= {0.0, *np.unique(images)}  # every value is a pixel's or the fill
    assert np.mean(new == 0) > 0.02


def test_what_comes_from_outside_is_the_fill_and_standardising_commutes(x64):
    images, mean, deviation = random_images(4), 0.3, 0.5
    settings = {"rotation": 40.0, "shift": 5.0, "elastic": 10.0}
    raw = apply(augment.distort(SHAPE, **settings), images)
    assert np.mean(raw == 0) > 0.02
    standardised = apply(augment.distort(SHAPE, **settings, fill=-mean / deviation), (images - mean) / deviation)
    np.testing.assert_allclose(standardised, (raw - mean) / deviation, atol=1e-13)


def test_the_elastic_field_has_the_size_and_smoothness_it_promises(x64):
    shape, smoothness, strength = (28, 28), 4.0, 34.0
    n = 300
    ramp = np.broadcast_to(np.mgrid[:28, :28][0].astype(float), (n, 28, 28)) * 1.0
    moved = apply(augment.distort(shape, elastic=strength, smoothness=smoothness), ramp) - ramp
    middle = moved[:, 10:18, 10:18]
    # Noise uniform in +-1 has deviation 1 / sqrt(3); a Gaussian of unit sum scales it by 1 / (2 sqrt(pi) smoothness).
    deviation = strength / np.sqrt(3) / (2 * np.sqrt(np.pi) * smoothness)
    assert deviation == pytest.approx(1.385, abs=1e-3)
    assert middle.std() == pytest.approx(deviation, rel=0.1)  # 300 fields of about 2 independent patches each
    assert abs(middle.mean()) < 4 * deviation / np.sqrt(600)
    # Neighbours are a pixel apart: correlation exp(-1 / (4 smoothness^2)) = 0.984.
    correlation = np.corrcoef(middle[:, :-1].ravel(), middle[:, 1:].ravel())[0, 1]
    assert correlation == pytest.approx(np.exp(-1 / (4 * smoothness**2)), abs=0.01)


def test_random_crop_is_padding_and_cropping_at_every_offset_alike():
    n, padding = 2000, 2
    image = random_images(1)[0].astype(np.float32)
    found = apply(augment.random_crop(SHAPE, padding, fill=-1.0), np.broadcast_to(image, (n, *SHAPE)))
    padded = np.pad(image, padding, constant_values=-1.0)
    counts = {}
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = padded[top : top + HEIGHT, left : left + WIDTH]
            counts[top, left] = int(np.all(found == crop, axis=(1, 2)).sum())
    assert sum(counts.values()) == n
    # 25 offsets of 80 each, deviation sqrt(80 * 24 / 25) = 8.8; four of those.
    assert max(abs(count - 80) for count in counts.values()) < 36


def test_random_flip_mirrors_about_half_of_the_images():
    images = random_images(1000).astype(np.float32)
    found = apply(augment.random_flip(SHAPE), images)
    flipped = np.all(found == images[:, :, ::-1], axis=(1, 2))
    assert np.all(flipped | np.all(found == images, axis=(1, 2)))
    assert abs(flipped.sum() - 500) < 4 * np.sqrt(250)


@pytest.mark.slow
def test_a_chain_gives_each_link_a_key_of_its_own():
    images = random_images(8).astype(np.float32)
    twice = augment.chain(augment.random_crop(SHAPE, 3), augment.random_crop(SHAPE, 3))
    first, second = jax.random.split(jax.random.key(0))
    crop, x = augment.random_crop(SHAPE, 3), jnp.asarray(images).reshape(8, -1)
    by_hand = compiled(crop, second, compiled(crop, first, x))
    np.testing.assert_array_equal(apply(twice, images).reshape(8, -1), by_hand)
    np.testing.assert_array_equal(apply(augment.chain(), images), images)


def test_equal_settings_are_equal_functions_and_strengths_are_leaves():
    make = functools.partial(augment.distort, SHAPE, rotation=5.0)
    assert make() == make() and hash(make()) == hash(make()) and make(elastic=3.0) != make()
    assert jax.tree.leaves(make(fill=0.5)) == [5.0, 4.0, 0.5]  # rotation, smoothness, fill; no term for the others
    chained = augment.chain(make(), augment.random_crop(SHAPE, 2))
    assert chained == augment.chain(make(), augment.random_crop(SHAPE, 2))


@pytest.mark.slow
def test_fit_augments_each_batch_anew_and_another_strength_compiles_nothing(compile_log):
    digits = jaxmlp.datasets.load("digits")
    net = jaxmlp.mlp((64, 16, 10), initializer="he_uniform")  # a uniform draw compiles faster than a normal
    params, loss_fn = net.init(jax.random.key(0)), jaxmlp.objective(net.apply)

    def losses(augmentation, key=0):
        run = functools.partial(jaxmlp.fit, loss_fn, params, jaxmlp.optimizers.sgd(0.0), digits.train)
        return run(key=jax.random.key(key), epochs=3, batch_size=1437, augment=augmentation).history.train_loss

    first = losses(augment.distort((8, 8), rotation=10.0))
    # At rate 0 the loss of the whole set is the same in every epoch, but for what is drawn anew.
    assert len(np.unique(np.round(first, 6))) == 3
    np.testing.assert_array_equal(first, losses(augment.distort((8, 8), rotation=10.0)))
    before = len(compile_log)
    stronger = losses(augment.distort((8, 8), rotation=20.0), key=1)
    assert compile_log[before:] == [] and not np.any(stronger == first)
    still = losses(augment.distort((8, 8)))
    expected = jax.jit(loss_fn)(params, *digits.train)
    np.testing.assert_allclose(still, expected, rtol=1e-6)  # float32 sums in another order


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: augment.distort(SHAPE, rotation=-1.0), r"rotation must be in \[0, inf\)"),
        (lambda: augment.distort(SHAPE, zoom=1.0), r"zoom must be in \[0, 1\)"),
        (lambda: augment.distort(SHAPE, smoothness=0.0), r"smoothness must be in \(0, inf\)"),
        (
            lambda: augment.distort(SHAPE, interpolation="cubic"),
            r"unknown interpolation 'cubic'; known: bilinear, near",
        ),
        (lambda: augment.distort((28, 28, 1)), r"image_shape must be \(height, width\)"),
        (lambda: augment.random_crop(SHAPE, -1), r"padding must be at least 0"),
        (lambda: augment.random_flip(SHAPE)(jax.random.key(0), jnp.zeros((3, 7))), r"x must have shape \(n, 480\)"),
    ],
)
def test_bad_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_link_that_is_no_function_is_refused():
    with pytest.raises(TypeError, match="must be a function"):
        augment.chain(augment.random_flip(SHAPE), 5.0)  # pyright: ignore[reportArgumentType]
