"""A user's script is clean under strict type checking, and the checker knows what a result holds."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import jaxmlp

SCRIPT = """
import jax
import jax.numpy as jnp
import numpy as np
import optax  # pyright: ignore[reportMissingTypeStubs] - optax does not say that it is typed

import jaxmlp

net = jaxmlp.mlp((4, 16, 3))
loss_fn = jaxmlp.objective(net.apply)
data = np.ones((32, 4), np.float32), np.zeros(32, np.int32)
rising: jaxmlp.Schedule = jaxmlp.schedules.warmup_cosine(1e-3, 10, 100)
falling: jaxmlp.Schedule = optax.cosine_decay_schedule(1e-3, 100)


def largest(params: jaxmlp.Params, x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.max(jnp.abs(params[0].w))


def train(optimizer: optax.GradientTransformation):
    params = net.init(jax.random.key(0))
    options = {"largest": largest}
    key = jax.random.key(1)
    return jaxmlp.fit(
        loss_fn, params, optimizer, data, key=key, epochs=2, batch_size=8, validation=data, metrics=options, patience=2
    )


result: jaxmlp.FitResult[jaxmlp.Params, jax.Array, jaxmlp.Best[jaxmlp.Params]] = train(jaxmlp.optimizers.adam(falling))
best: jax.Array = result.best.params[0].w
losses = [float(loss) for loss in result.history.validation_loss]
adam = jaxmlp.optimizers.adam(rising)
unmeasured = jaxmlp.fit(loss_fn, None, adam, data, epochs=1, batch_size=8, state=result.state)
nothing: None = unmeasured.history.validation_loss
grid, keys = {"learning_rate": [0.1]}, jax.random.split(jax.random.key(0), 2)
runs = jaxmlp.sweep(loss_fn, net.init, jaxmlp.optimizers.sgd, grid, data, keys=keys, epochs=1, batch_size=8)
print(runs.history.train_loss.shape, runs.params[0].w.shape, len(losses))
"""
WRONG = {
    "unmeasured.best.params": '"params" is not a known attribute of "None"',
    'jaxmlp.fit(loss_fn, None, adam, data, epochs="1", batch_size=8)': '"Literal[\'1\']" is not assignable to "int"',
    "jaxmlp.fit(loss_fn, None, jaxmlp.optimizers.adam, data, epochs=1, batch_size=8)": "is not assignable",
}


@pytest.mark.slow
def test_a_script_is_clean_under_strict_pyright_and_mistakes_are_found(tmp_path):
    pyright = shutil.which("pyright", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if pyright is None:
        pytest.skip("pyright is not installed; it comes with the extra dev")
    root = Path(jaxmlp.__file__).parent.parent
    (tmp_path / "pyrightconfig.json").write_text(f'{{"typeCheckingMode": "strict", "extraPaths": ["{root}"]}}')
    wrong = "".join(f"{line}\n" for line in WRONG)
    (tmp_path / "script.py").write_text(SCRIPT + wrong)
    page = (root / "jaxmlp" / "comparison" / "README.md").read_text(encoding="utf-8")
    # optax and dask do not say that they are typed, so that scripts with them cannot be clean under strict checking.
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    blocks = [block for block in blocks if "optax" not in block and "dask" not in block]
    for i, block in enumerate(blocks):
        (tmp_path / f"comparison_{i}.py").write_text(block)
    command = [pyright, "--pythonpath", sys.executable, "--project", str(tmp_path)]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    length = SCRIPT.count("\n")
    assert blocks and "comparison_" not in output, output
    found = [line for line in output.splitlines() if "script.py:" in line]
    assert found and all(int(line.split("script.py:")[1].split(":")[0]) > length for line in found), output
    assert {int(line.split("script.py:")[1].split(":")[0]) - length for line in found} == {1, 2, 3}, output
