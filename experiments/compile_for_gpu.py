"""How many kernels is a step, and how much memory a run, on an H100? Compiled without one.

XLA compiles fit and the vectorised sweep for the description of an NVIDIA H100. The kernels are counted in the loop
over steps of the compiled program, and the memory is that of its buffers. The exit status is 1 if a figure is more than
twice the recorded one. The packages of the extra cuda, which are large, are needed, but neither a driver nor a device.
Takes 2 min. Run: python -m experiments.compile_for_gpu --help
"""

import os
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before XLA is loaded, which warns that it cannot ask the GPU

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from rich.table import Table

import jaxmlp
from experiments.common import command
from experiments.common.command import Outcome
from jaxmlp.training.memory import bytes_needed

EXAMPLES, VALIDATION, BATCH_SIZE = 60_000, 10_000, 128
H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  shared_memory_per_block: 49152 shared_memory_per_core: 233472 shared_memory_per_block_optin: 232448
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98 device_memory_size: 84942979072
  registers_per_core_limit: 65536 registers_per_block_limit: 65536 cuda_compute_capability { major: 9 }
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
runtime_version { major: 12 minor: 8 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
MNIST, DEEP = (784, 128, 10), (784, 512, 128, 64, 10)


class Program(NamedTuple):
    """What is compiled, and what it took when it was last recorded."""

    layer_sizes: tuple[int, ...]
    rule: str
    runs: int
    """1 is fit, more are a vectorised sweep."""

    options: bool
    """With validation examples and most options of fit."""

    kernels: int
    """Per step."""

    megabytes: float
    """Per run."""


PROGRAMS = {
    "fit, SGD": Program(MNIST, "sgd", 1, False, 19, 3.2),
    "fit, Adam": Program(MNIST, "adam", 1, False, 21, 4.0),
    "fit, Adam, options": Program(MNIST, "adam", 1, True, 25, 7.2),
    "fit, Adam, 784-512-128-64-10": Program(DEEP, "adam", 1, False, 38, 11.9),
    "sweep of 32, Adam": Program(MNIST, "adam", 32, False, 20, 2.6),
    "sweep of 32, Adam, options": Program(MNIST, "adam", 32, True, 23, 8.8),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("compile_for_gpu", _experiment, _parser(), arguments)


def kernels_per_step(text: str) -> int:
    """Count what a step of a compiled program launches, copies included.

    Args:
        text: of the program, as XLA prints it.

    Returns:
        The number for the loop over steps: of the loops without another loop inside, the longest that has products of
        matrices.
    """
    computations = dict(re.findall(r"^%?([\w.-]+) \(.*?\) -> .*? \{\n(.*?)^\}", text, flags=re.DOTALL | re.MULTILINE))
    bodies = [computations[name] for name in set(re.findall(r"body=%?([\w.-]+)", text))]
    steps = [_launched(body) for body in bodies if "dot_general" in body and " while(" not in body]
    if not steps:
        raise AssertionError("the compiled program has no loop over steps")
    return max(steps)


_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast"}


def _launched(body):
    names = re.findall(
        r"^ *(?:ROOT )?%?[\w.-]+ = .*? ([a-z][\w-]*)\(", re.sub(r"/\*.*?\*/", "", body), flags=re.MULTILINE
    )
    return sum(name not in _FREE and not name.endswith("-done") for name in names)


def _experiment(options, console):
    device = _described_device()
    found = {}
    with command.progress(console, "programs") as bar:
        task = bar.add_task("", total=len(PROGRAMS))
        for name, program in PROGRAMS.items():
            bar.update(task, description=name)
            found[name] = _measured(program, device)
            bar.advance(task)
    grown = [name for name, program in PROGRAMS.items() if _has_doubled(program, found[name])]
    notes = [
        f"{EXAMPLES:,} examples, batch size {BATCH_SIZE}; options: {VALIDATION:,} validation examples, accuracy, "
        "gradient norms of every step, keep_best, patience.",
        "Copies count as kernels. Memory is that of results and temporary values, without the workspace of cuBLAS.",
        *(f"More than twice the recorded figure: {name}." for name in grown),
    ]
    return Outcome({"programs": found}, notes=notes, tables=[_table(found)], status=int(bool(grown)))


def _described_device():
    jax.config.update("jax_platforms", "cpu")  # a GPU, if there is one, is left alone
    jax.config.update("jax_enable_compilation_cache", False)  # it cannot read back what is for another device
    try:
        topology = topologies.get_topology_desc("h100", platform="cuda", target_config=H100, topology="1x1x1")
    except (NotImplementedError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"XLA's compiler for CUDA is not at hand ({reason}); to fix this, run pip install -e '.[comparison,cuda]'"
        ) from error
    return NamedSharding(Mesh(np.asarray(topology.devices), ("device",)), PartitionSpec())


def _measured(program: Program, device: NamedSharding) -> dict[str, Any]:
    """Compile a program and return its figures."""

    def shaped(shape, dtype):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=device)

    def examples(n):
        return shaped((n, program.layer_sizes[0]), jnp.float32), shaped((n,), jnp.int32)

    data = (examples(EXAMPLES), examples(VALIDATION) if program.options else None)
    one, all_runs = _runs(program)
    rates = shaped((program.runs,), jnp.float32)
    compiled = jax.jit(all_runs).lower(shaped((2,), jnp.uint32), rates, *data).compile()
    text, memory = compiled.as_text(), compiled.memory_analysis()
    assert text is not None and memory is not None
    # cuBLAS takes a workspace of a fixed size, 32 MB in jax 0.10, once for all runs.
    workspace = max(map(int, re.findall(r"s8\[(\d+)\]\S*\) custom-call", text)), default=0)
    needed = memory.temp_size_in_bytes + memory.output_size_in_bytes - workspace
    estimate = bytes_needed(jax.make_jaxpr(one)(shaped((2,), jnp.uint32), shaped((), jnp.float32), *data))
    return {
        "runs": program.runs,
        "kernels_per_step": kernels_per_step(text),
        "megabytes_per_run": needed / program.runs / 1e6,
        "estimated_megabytes_per_run": estimate / 1e6,
    }


def _runs(program: Program) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return a function that trains one run, and one that trains all."""
    net = jaxmlp.mlp(program.layer_sizes)
    loss_fn, factory = jaxmlp.objective(net.apply), jaxmlp.optimizers.OPTIMIZERS[program.rule]
    settings: dict[str, Any] = {"epochs": 2, "batch_size": BATCH_SIZE}
    if program.options:
        settings |= {"metrics": {"accuracy": jaxmlp.accuracy(net.apply)}, "keep_best": True, "patience": 1}
        settings["step_metrics"] = {"gradient_norms": jaxmlp.gradient_norms}

    def one(key, rate, train, validation):
        init_key, fit_key = jax.random.split(jax.random.wrap_key_data(key))
        params = net.init(init_key)
        return jaxmlp.fit(loss_fn, params, factory(rate), train, key=fit_key, validation=validation, **settings)

    def many(key, rates, train, validation):
        keys, grid = jax.random.wrap_key_data(key)[None], {"learning_rate": rates}
        return jaxmlp.sweep(loss_fn, net.init, factory, grid, train, keys=keys, validation=validation, **settings)

    return one, many if program.runs > 1 else lambda key, rates, *data: one(key, rates[0], *data)


def _has_doubled(program, found):
    return found["kernels_per_step"] > 2 * program.kernels or found["megabytes_per_run"] > 2 * program.megabytes


def _table(found):
    table = Table("", title="On an H100, compiled without one")
    for column in (
        "kernels per step\n(recorded)",
        "MB per run\n(recorded)",
        "MB per run\nestimated",
    ):
        table.add_column(column, justify="right")
    for name, row in found.items():
        program = PROGRAMS[name]
        table.add_row(
            name,
            f"{row['kernels_per_step']} ({program.kernels})",
            f"{row['megabytes_per_run']:.2f} ({program.megabytes:g})",
            f"{row['estimated_megabytes_per_run']:.2f}",
        )
    return table


def _parser():
    return command.options(
        "compile_for_gpu",
        "Compile fit and the vectorised sweep for an NVIDIA H100 without a GPU, and state kernels per step and memory "
        "per run. The exit status is 1 if one is more than twice the recorded figure.",
    )


if __name__ == "__main__":
    command.start(main)
