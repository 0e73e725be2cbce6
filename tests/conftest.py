"""Settings under which every test runs, and the fixtures that several files share."""

import jax
import pytest

# Two CPU devices, so that shard_map has something to map over; must be set before JAX looks for devices.
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def x64():
    """Run the test in float64."""
    with jax.enable_x64(True):
        yield
