"""Random changes of images that keep their labels, drawn for every batch on the device.

Each factory returns an augmentation, a pure function (key, x) -> x; x holds flattened images, (n, height * width).
`fit(..., augment=...)` calls it inside the compiled program. An augmentation is also a pytree whose leaves are its
strengths, so changing a strength does not recompile.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp._arrays import at_least_float32, is_concrete, none_if_zero
from jaxmlp._checks import check_choice, check_count, check_key, check_real, one_number, shown

__docformat__ = "google"
__all__ = ["chain", "distort", "random_crop", "random_flip"]

Augmentation = Callable[[jax.Array, jax.Array], jax.Array]


def distort(
    image_shape: tuple[int, int],
    *,
    rotation: Any = 0.0,
    zoom: Any = 0.0,
    shear: Any = 0.0,
    shift: Any = 0.0,
    elastic: Any = 0.0,
    smoothness: Any = 4.0,
    fill: Any = 0.0,
    interpolation: str = "bilinear",
) -> Augmentation:
    """Rotate, scale, shear, shift and bend each image at random, in a single resampling.

        new(p) = old(A (p - c) + c + t + d(p))
        A = 1/s [[cos a, -sin a], [sin a, cos a]] [[1, 0], [k, 1]]
        d(p) = elastic * (Gaussian of standard deviation smoothness, convolved with noise)(p)

    Here p is a pixel (row, column) and c the centre of the image. For each image a is uniform in +-rotation, s in
    1 +- zoom, k in +-shear, both entries of t in +-shift, and the noise in +-1 at each pixel and for each direction, 0
    outside the image. Values between pixels are interpolated, or are those of the nearest pixel; outside the image they
    are fill.

    Args:
        image_shape: (height, width) of a row of x.
        rotation: degrees, >= 0.
        zoom: relative change of size, in [0, 1).
        shear: slant of an upright line, in columns per row, >= 0.
        shift: pixels, >= 0.
        elastic: strength alpha, in pixels before smoothing, >= 0; 34 with smoothness 4 moves the pixels of a 28 x 28
            image by a standard deviation of 1.3 pixels in each direction.
        smoothness: standard deviation of the Gaussian, in pixels, > 0.
        fill: the value outside the image; use that of the background, after standardising too.
        interpolation: "bilinear", or "nearest", which blurs nothing and is the default of torchvision's rotations.

    Returns:
        (key, x) -> x. Equal arguments give equal functions.

    Raises:
        ValueError: a strength is out of its range, or interpolation is unknown.

    Differs from:
        chains of single distortions, each of which blurs the image once more.

    Example:
        >>> import jax, jaxmlp
        >>> augment = jaxmlp.augment.distort((28, 28), rotation=10.0, elastic=34.0)
        >>> print(augment(jax.random.key(0), jax.numpy.ones((5, 784))).shape)
        (5, 784)

    Source:
        Simard, Steinkraus and Platt (2003), "Best practices for convolutional neural networks applied to visual
        document analysis", section 2.
    """
    for name, value in (("rotation", rotation), ("shear", shear), ("shift", shift), ("elastic", elastic)):
        one_number(name, value, 0)
    one_number("zoom", zoom, 0, 1)
    one_number("smoothness", smoothness, 0, open_low=True)
    one_number("fill", fill, -math.inf, open_low=True)
    return _Distort(
        image_shape=_shape(image_shape),
        interpolation=check_choice("interpolation", interpolation, ("bilinear", "nearest")),
        rotation=none_if_zero(_plain(rotation)),
        zoom=none_if_zero(_plain(zoom)),
        shear=none_if_zero(_plain(shear)),
        shift=none_if_zero(_plain(shift)),
        elastic=none_if_zero(_plain(elastic)),
        smoothness=_plain(smoothness),
        fill=_plain(fill),
    )


def random_crop(image_shape: tuple[int, int], padding: int, *, fill: Any = 0.0) -> Augmentation:
    """Pad each image on all sides and crop it back to its size at random, which shifts it by whole pixels.

    Args:
        image_shape: (height, width) of a row of x.
        padding: pixels, >= 0; both shifts are uniform among -padding, ..., padding.
        fill: the value of the padding.

    Returns:
        (key, x) -> x. Equal arguments give equal functions.

    Raises:
        ValueError: padding is negative.
        TypeError: padding is not an integer.

    Example:
        >>> import jax, jaxmlp
        >>> augment = jaxmlp.augment.random_crop((28, 28), padding=2)
        >>> print(augment(jax.random.key(0), jax.numpy.ones((5, 784))).shape)
        (5, 784)
    """
    padding = check_count("padding", padding, least=0, most=_MOST_PADDING)
    one_number("fill", fill, -math.inf, open_low=True)
    return _RandomCrop(image_shape=_shape(image_shape), padding=padding, fill=_plain(fill))


def random_flip(image_shape: tuple[int, int]) -> Augmentation:
    """Mirror each image left to right with probability 1/2.

    Args:
        image_shape: (height, width) of a row of x.

    Returns:
        (key, x) -> x. Equal arguments give equal functions.

    Raises:
        ValueError: image_shape is not a pair of positive integers.

    Example:
        >>> import jax, jaxmlp
        >>> flip = jaxmlp.augment.random_flip((1, 3))
        >>> print(flip(jax.random.key(1), jax.numpy.array([[1.0, 2.0, 3.0]] * 2)))
        [[3. 2. 1.]
         [1. 2. 3.]]
    """
    return _RandomFlip(_shape(image_shape))


def chain(*augmentations: Augmentation) -> Augmentation:
    """Apply augmentations one after the other, each with its own key.

    Args:
        augmentations: functions (key, x) -> x.

    Returns:
        (key, x) -> x. Equal arguments give equal functions.

    Raises:
        TypeError: one of them is not callable.

    Example:
        >>> import jax
        >>> from jaxmlp.augment import chain, random_crop, random_flip
        >>> augment = chain(random_crop((28, 28), 2), random_flip((28, 28)))
        >>> print(augment(jax.random.key(0), jax.numpy.ones((5, 784))).shape)
        (5, 784)
    """
    for augmentation in augmentations:
        if not callable(augmentation):
            raise TypeError(f"an augmentation must be a function (key, x) -> x, got {shown(augmentation)}")
    return _Chain(augmentations)


# Frozen dataclasses rather than closures, for the reason given in network.py; registered as pytrees, so that strengths
# are arguments of the compiled program. None leaves a term out of the program.
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Distort:
    image_shape: tuple[int, int] = dataclasses.field(metadata={"static": True})
    interpolation: str = dataclasses.field(metadata={"static": True})
    rotation: Any
    zoom: Any
    shear: Any
    shift: Any
    elastic: Any
    smoothness: Any
    fill: Any

    def __call__(self, key: jax.Array, x: jax.Array) -> jax.Array:
        x = _checked(key, x)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(f"x must be floating point, such as pixels / 255, got {x.dtype}")
        # Positions are computed in float32 or wider: bfloat16 knows column 20 only to a tenth of a pixel.
        dtype, given = at_least_float32(x.dtype), x
        x = x.astype(dtype)
        images = _images(x, self.image_shape)
        linear_key, shift_key, elastic_key = jax.random.split(key, 3)
        height, width = self.image_shape
        rows = jnp.arange(height, dtype=x.dtype)[None, :, None] - (height - 1) / 2
        columns = jnp.arange(width, dtype=x.dtype)[None, None, :] - (width - 1) / 2
        # Where each new pixel takes its value from, relative to the centre; broadcast to (n, height, width).
        (a, b), (c, d) = self._linear(linear_key, len(images), x.dtype)
        from_row, from_column = a * rows + b * columns, c * rows + d * columns
        if self.shift is not None:
            shift = self._strength("shift", x) * _uniform(shift_key, (2, len(images), 1, 1), x.dtype)
            from_row, from_column = from_row + shift[0], from_column + shift[1]
        if self.elastic is not None:
            bend = self._strength("elastic", x) * self._field(elastic_key, len(images), x.dtype)
            from_row, from_column = from_row + bend[0], from_column + bend[1]
        from_row, from_column = from_row + (height - 1) / 2, from_column + (width - 1) / 2
        resample = _nearest if self.interpolation == "nearest" else _bilinear
        new = resample(images, from_row, from_column, self._strength("fill", x))
        return new.reshape(given.shape).astype(given.dtype)

    def _strength(self, name, x):
        return jnp.asarray(getattr(self, name), x.dtype)

    def _linear(self, key, n, dtype):
        """Return the entries of A for each image, each (n, 1, 1)."""
        draws = _uniform(key, (3, n, 1, 1), dtype)
        zero, one = jnp.zeros((n, 1, 1), dtype), jnp.ones((n, 1, 1), dtype)
        angle = zero if self.rotation is None else jnp.asarray(self.rotation, dtype) * (jnp.pi / 180) * draws[0]
        scale = one if self.zoom is None else 1 + jnp.asarray(self.zoom, dtype) * draws[1]
        shear = zero if self.shear is None else jnp.asarray(self.shear, dtype) * draws[2]
        cos, sin = jnp.cos(angle) / scale, jnp.sin(angle) / scale
        return (cos - sin * shear, -sin), (sin + cos * shear, cos)

    def _field(self, key, n, dtype):
        """Return smooth noise, (2, n, height, width): G noise G^T, G being the Gaussian of each dimension."""
        noise = _noise(key, (2, n, *self.image_shape), dtype)
        down, across = (_gaussian(size, jnp.asarray(self.smoothness, dtype)) for size in self.image_shape)
        # One product for all rows of all images, then one for the columns of each.
        smooth = (noise.reshape(-1, noise.shape[-1]) @ across.T).reshape(noise.shape)
        return jnp.matmul(jnp.broadcast_to(down, (2, n, *down.shape)), smooth)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _RandomCrop:
    image_shape: tuple[int, int] = dataclasses.field(metadata={"static": True})
    padding: int = dataclasses.field(metadata={"static": True})
    fill: Any

    def __call__(self, key: jax.Array, x: jax.Array) -> jax.Array:
        x = _checked(key, x)
        images, p = _images(x, self.image_shape), self.padding
        padded = jnp.pad(images, ((0, 0), (p, p), (p, p)), constant_values=jnp.asarray(self.fill, x.dtype))
        starts = jax.random.randint(key, (len(images), 2), 0, 2 * p + 1)
        crop = jax.vmap(lambda image, start: jax.lax.dynamic_slice(image, start, self.image_shape))
        return crop(padded, starts).reshape(x.shape)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _RandomFlip:
    image_shape: tuple[int, int] = dataclasses.field(metadata={"static": True})

    def __call__(self, key: jax.Array, x: jax.Array) -> jax.Array:
        x = _checked(key, x)
        images = _images(x, self.image_shape)
        flipped = jax.random.bernoulli(key, 0.5, (len(images), 1, 1))
        return jnp.where(flipped, images[:, :, ::-1], images).reshape(x.shape)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Chain:
    links: tuple[Any, ...]

    def __call__(self, key: jax.Array, x: jax.Array) -> jax.Array:
        check_key(key)
        for link, link_key in zip(self.links, jax.random.split(key, max(1, len(self.links))), strict=False):
            x = link(link_key, x)
        return x


def _bilinear(images, rows, columns, fill):
    """Interpolate images (n, height, width) at rows and columns, both (n, height, width)."""
    _, height, width = images.shape
    # With a border of fill, to which all positions outside are clipped, every pixel has its neighbours.
    rows, columns = jnp.clip(rows, -1, height) + 1, jnp.clip(columns, -1, width) + 1
    top, left = jnp.clip(jnp.floor(rows), 0, height), jnp.clip(jnp.floor(columns), 0, width)
    down, right = rows - top, columns - left
    value = _values(images, top, left, fill)
    above = (1 - right) * value(0, 0) + right * value(0, 1)
    below = (1 - right) * value(1, 0) + right * value(1, 1)
    return (1 - down) * above + down * below


def _nearest(images, rows, columns, fill):
    """Take the nearest pixels of images (n, height, width) to rows and columns, both (n, height, width)."""
    _, height, width = images.shape
    rows, columns = jnp.clip(jnp.floor(rows + 0.5), -1, height) + 1, jnp.clip(jnp.floor(columns + 0.5), -1, width) + 1
    return _values(images, rows, columns, fill)(0, 0)


def _values(images, rows, columns, fill):
    """Return value(down, right): the pixels at whole rows and columns, moved so, of images with a border of fill."""
    n, height, width = images.shape
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1)), constant_values=fill).reshape(n, (height + 2) * (width + 2))
    first = (rows.astype(jnp.int32) * (width + 2) + columns.astype(jnp.int32)).reshape(n, height * width)

    def value(down, right):
        taken = jnp.take_along_axis(padded, first + down * (width + 2) + right, axis=1, mode="promise_in_bounds")
        return taken.reshape(images.shape)

    return value


def _gaussian(size, deviation):
    """Return the matrix that convolves a vector of that size with a Gaussian of unit sum, zeros outside."""
    distance = jnp.arange(size, dtype=deviation.dtype)[:, None] - jnp.arange(size, dtype=deviation.dtype)[None, :]
    reach = jnp.arange(-4 * size, 4 * size + 1, dtype=deviation.dtype)

    def bell(at):
        return jnp.exp(-0.5 * (at / deviation) ** 2)

    return bell(distance) / jnp.sum(bell(reach))


def _noise(key, shape, dtype):
    """Return noise, uniform in +-1 with 256 levels: one draw of 32 bits gives four, and smoothing hides the levels."""
    size = math.prod(shape)
    bits = jax.lax.bitcast_convert_type(jax.random.bits(key, (-(-size // 4),), jnp.uint32), jnp.uint8)
    return bits.reshape(-1)[:size].reshape(shape).astype(dtype) / 127.5 - 1


def _uniform(key, shape, dtype):
    return jax.random.uniform(key, shape, dtype, -1, 1)


_MOST_PADDING = 2**15  # the padded image has to fit into memory


def _checked(key, x):
    """Return x as a JAX array; raise a TypeError if it or key is something else."""
    check_key(key)
    check_real("x", x)
    # Of a list, NumPy finds one dtype whatever JAX's rules of promotion are.
    return jnp.asarray(x if hasattr(x, "dtype") else np.asarray(x))


def _images(x, image_shape):
    height, width = image_shape
    if jnp.ndim(x) != 2 or jnp.shape(x)[1] != height * width:
        expected = f"(n, {height * width}) for image_shape {image_shape}"
        raise ValueError(f"x must have shape {expected}, got {jnp.shape(x)}")
    return x.reshape(x.shape[0], height, width)


def _plain(value):
    """An array of one number as that number, which can be hashed; a traced one as it is."""
    return value if isinstance(value, int | float) or not is_concrete(value) else float(value)


def _shape(image_shape):
    if (
        isinstance(image_shape, str | bytes | bytearray)
        or not isinstance(image_shape, Sequence)
        or len(image_shape) != 2
    ):
        raise ValueError(f"image_shape must be (height, width), both at least 1, got {shown(image_shape)}")
    height, width = (check_count("each of image_shape", size) for size in image_shape)
    return height, width
