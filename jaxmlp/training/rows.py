"""The training examples as a step sees them: rows of arrays, on one device or on several."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from jaxmlp._arrays import is_concrete


class Layout(NamedTuple):
    """How the examples lie on several devices; it decides the program."""

    mesh: Mesh
    """The devices, all axes of type Auto."""
    given: Mesh
    """The same devices, as they were given."""
    axes: tuple[str, ...]
    """The axes of the mesh over which the examples, and so each batch, are divided."""
    specs: tuple[PartitionSpec, ...]
    """One per leaf of train."""
    n: int
    """The number of training examples, without those that only fill up the last device."""
    whole: bool
    """Whether every device has all parameters."""

    @property
    def parts(self) -> int:
        """The number of parts into which a batch is divided."""
        return math.prod(self.mesh.shape[axis] for axis in self.axes)

    def take(self, train: Any, rows: jax.Array) -> Any:
        """Return these rows of the examples, each device its part of them if they divide, all of them if not."""
        leaves, structure = jax.tree.flatten(train)
        return structure.unflatten(
            [self._taken(leaf, spec, rows) for leaf, spec in zip(leaves, self.specs, strict=True)]
        )

    def _taken(self, leaf, spec, rows):
        divided = rows.shape[0] % self.parts == 0
        batch = PartitionSpec(self.axes if divided else None, *spec[1:])
        if _axes(spec) != self.axes:
            found = leaf.at[rows].get(mode="promise_in_bounds")
            return jax.lax.with_sharding_constraint(found, NamedSharding(self.mesh, batch))

        def exchanged(block, rows):
            # Every row lies on one device: the sum of what each device finds, and zeros elsewhere, is that row.
            own = rows - jax.lax.axis_index(self.axes).astype(rows.dtype) * block.shape[0]
            here = ((own >= 0) & (own < block.shape[0])).reshape(-1, *[1] * (block.ndim - 1))
            found = block.at[jnp.clip(own, 0, block.shape[0] - 1)].get(mode="promise_in_bounds")
            found = jnp.where(here, found, jnp.zeros((), found.dtype))
            whole = found.astype(jnp.int8) if found.dtype == jnp.bool_ else found
            if divided:
                return jax.lax.psum_scatter(whole, self.axes, scatter_dimension=0, tiled=True).astype(found.dtype)
            return jax.lax.psum(whole, self.axes).astype(found.dtype)

        specs = (spec, PartitionSpec())
        return jax.shard_map(exchanged, mesh=self.mesh, in_specs=specs, out_specs=batch)(leaf, rows)

    def divided(self, examples: Any) -> Any:
        """Return validation examples of which each device computes its part, unevenly where they do not divide."""

        def constrained(leaf):
            spec = PartitionSpec(self.axes, *[PartitionSpec.UNCONSTRAINED] * (leaf.ndim - 1))
            return jax.lax.with_sharding_constraint(leaf, NamedSharding(self.mesh, spec))

        return jax.tree.map(constrained, examples)

    def returned(self, state: Any, reports: Any) -> tuple[Any, Any]:
        """Return what a program returns, on every device as a whole but for parameters that are divided."""

        def constrained(tree):
            where = NamedSharding(self.mesh, PartitionSpec())
            return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, where), tree)

        return constrained(state) if self.whole else state, constrained(reports)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Set the mesh, in place of one of other axis types that may be set around this."""
        with jax.set_mesh(self.mesh):
            yield

    def handed_back(self, result: Any) -> Any:
        """Return the result with the mesh that was given; no array moves."""
        return jax.tree.map(lambda leaf: _put(leaf, self.given, PartitionSpec()), result)

    def everywhere(self, tree: Any) -> Any:
        """Return tree with every leaf on all devices; one that lies on them already stays as it lies."""
        return jax.tree.map(lambda leaf: _put(leaf, self.mesh, PartitionSpec()), tree)

    @property
    def spans_processes(self) -> bool:
        """Whether some of the devices belong to another process."""
        return len({device.process_index for device in self.mesh.devices.flat}) > 1


class Rows(NamedTuple):
    """The training examples inside a program."""

    train: Any
    layout: Layout | None = None
    scale: Any = None
    """The dtype in which inputs of bytes are scaled to [0, 1]; None leaves them as they are."""

    @property
    def n(self) -> int:
        """The number of examples."""
        return jnp.shape(jax.tree.leaves(self.train)[0])[0] if self.layout is None else self.layout.n

    def take(self, rows: jax.Array) -> tuple[Any, ...]:
        """Return x, y and the weights, if there are any, of these rows."""
        if self.layout is not None:
            return self.layout.take(tuple(self.train), rows)
        found = jax.tree.map(lambda a: jnp.asarray(a).at[rows].get(mode="promise_in_bounds"), tuple(self.train))
        return found if self.scale is None else scaled(found, self.scale)


def scaled(examples: tuple[Any, ...], dtype: Any) -> tuple[Any, ...]:
    """Return the examples with inputs of bytes scaled to [0, 1]."""

    def fractions(a):
        # Not a quotient: XLA would make this product of some, and not of others, which rounds differently.
        return a.astype(dtype) * jnp.asarray(1 / 255, dtype) if a.dtype == jnp.uint8 else a

    return (jax.tree.map(fractions, examples[0]), *examples[1:])


def laid_out(start: Any, train: Any, validation: Any) -> tuple[Layout | None, Any, Any, Any]:
    """Return the layout of a run on several devices, and start, train and validation as they lie there.

    There is one where train is sharded over the first axis, or a mesh is set (jax.set_mesh); None elsewhere, and under
    a trace, where the arguments lie as the program around this has it.
    """
    leaves = jax.tree.leaves(train)
    if not all(is_concrete(leaf) for leaf in (*leaves, *jax.tree.leaves((start, validation)))):
        return None, start, train, validation
    sharded = [leaf for leaf in leaves if _mesh(leaf) is not None and _axes(leaf.sharding.spec)]
    mesh = sharded[0].sharding.mesh if sharded else set_mesh()
    if any(leaf.sharding.mesh != mesh for leaf in sharded):
        raise ValueError(f"all of train must lie on one mesh, got {[leaf.sharding.mesh for leaf in sharded]}")
    if mesh is None or mesh.size == 1:
        return None, *(jax.tree.map(_without_axes, tree) for tree in (start, train, validation))
    axes = _axes(sharded[0].sharding.spec) if sharded else tuple(mesh.axis_names)
    given, mesh = mesh, Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names))
    parts, n = math.prod(mesh.shape[axis] for axis in axes), jnp.shape(leaves[0])[0]
    filling = -n % parts
    train = jax.tree.map(lambda leaf: _put(leaf, mesh, PartitionSpec(axes), filling), train)
    specs = tuple(leaf.sharding.spec for leaf in jax.tree.leaves(train))
    start = jax.tree.map(lambda leaf: _put(leaf, mesh, PartitionSpec()), start)
    whole = all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(start))
    layout = Layout(mesh, given, axes, specs, n, whole)
    if validation is not None and jnp.shape(jax.tree.leaves(validation)[0])[0] % parts == 0:
        validation = jax.tree.map(lambda leaf: _put(leaf, mesh, PartitionSpec(axes)), validation)
    return layout, start, train, layout.everywhere(validation)


def local(examples: Any) -> Any:
    """Return the examples as this process can read them: of arrays that span processes the rows that lie here."""

    def readable(leaf):
        if not is_concrete(leaf) or getattr(leaf, "is_fully_addressable", True):
            return leaf
        if leaf.is_fully_replicated:
            return leaf.addressable_data(0)
        first = {shard.index[0].start: shard.data for shard in leaf.addressable_shards}  # one of each part
        return np.concatenate([np.asarray(first[start]) for start in sorted(first, key=lambda start: start or 0)])

    return jax.tree.map(readable, examples)


def _put(leaf, mesh, spec, filling=0):
    """Return leaf on the devices of the mesh, laid out as it is if it lies there, else by spec."""
    own = _mesh(leaf)
    lies_there = own is not None and own.size == mesh.size and (own.devices == mesh.devices).all()
    if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        if lies_there:
            return jax.device_put(leaf, NamedSharding(mesh, leaf.sharding.spec))
        data = _put(jax.random.key_data(leaf), mesh, spec)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    if lies_there:
        sharding = NamedSharding(mesh, leaf.sharding.spec)
        if leaf.sharding == sharding:
            return leaf
        parts = [shard.data for shard in leaf.addressable_shards]
        return jax.make_array_from_single_device_arrays(leaf.shape, sharding, parts)
    host = np.asarray(leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf))
    host = host.astype(jax.dtypes.canonicalize_dtype(host.dtype), copy=False)
    if filling:
        host = np.concatenate([host, np.repeat(host[-1:], filling, axis=0)])
    return jax.make_array_from_callback(host.shape, NamedSharding(mesh, spec), lambda index: host[index])


def _without_axes(leaf):
    """Return leaf, if it lies on a mesh of one device, as it lies on that device; no array moves."""
    mesh = _mesh(leaf)
    if mesh is None or mesh.size > 1:
        return leaf
    return jax.device_put(leaf, SingleDeviceSharding(mesh.devices.item()))  # the device itself would keep Explicit axes


def _mesh(leaf):
    sharding = getattr(leaf, "sharding", None) if isinstance(leaf, jax.Array) else None
    return sharding.mesh if isinstance(sharding, NamedSharding) and isinstance(sharding.mesh, Mesh) else None


def set_mesh() -> Mesh | None:
    """Return the mesh that jax.set_mesh has set, None if there is none, or under a trace."""
    try:
        mesh = jax.sharding.get_mesh()
    except ValueError:
        return None
    return None if mesh.empty else mesh


def _axes(spec):
    """Return the mesh axes over which the first axis of an array is divided."""
    first = spec[0] if len(spec) else None
    return () if first is None else first if isinstance(first, tuple) else (first,)
