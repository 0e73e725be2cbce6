"""What a user of the installed wheel does first: import, train, save, load; and what is said of a missing extra."""

import importlib.metadata
import importlib.util
import tempfile
from pathlib import Path

import jax
import numpy as np

import jaxmlp

assert "site-packages" in jaxmlp.__file__, jaxmlp.__file__
assert importlib.util.find_spec("experiments") is None
assert jaxmlp.__version__ == importlib.metadata.version("jaxmlp")

gate = jaxmlp.datasets.load("xor")
net = jaxmlp.mlp((2, 16, 1), activation="tanh")
loss_fn = jaxmlp.objective(net.apply, "binary_cross_entropy")
init_key, fit_key = jax.random.split(jax.random.key(0))
adam = jaxmlp.optimizers.adam(0.05)
result = jaxmlp.fit(loss_fn, net.init(init_key), adam, gate.train, key=fit_key, epochs=300, batch_size=4)
assert float(jaxmlp.accuracy(net.apply)(result.params, *gate.train)) == 1.0

with tempfile.TemporaryDirectory() as folder:
    jaxmlp.save(Path(folder, "xor.safetensors"), result.params)
    params, _ = jaxmlp.load(Path(folder, "xor.safetensors"))
assert all(map(np.array_equal, jax.tree.leaves(params), jax.tree.leaves(result.params)))

for missing, extra in (
    (lambda: jaxmlp.datasets.load("digits"), "data"),
    (lambda: __import__("jaxmlp.comparison.figures"), "comparison"),
):
    try:
        missing()
    except ImportError as error:
        assert f"jaxmlp[{extra}]" in str(error), error
    else:
        raise AssertionError(f"nothing said that the extra {extra} is missing")
print(f"jaxmlp {jaxmlp.__version__} from the wheel alone: trained XOR, saved and loaded it")
