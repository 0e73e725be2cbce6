"""A comparison on real worker processes: a pool and a dask cluster, of which one is killed and another comes late."""

import multiprocessing
import os
import re
import signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from test_workers import LINE, SETTINGS, assert_same

import jaxmlp
from jaxmlp.comparison import compare, study

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unoptimised", "alike")]


@pytest.fixture(scope="module")
def alike(unoptimised, tmp_path_factory):
    """Let workers compile as this process does, once for all of them, and let a piece be one run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patch.setattr(study, "_MOST_RUNS", 1)
        yield


def line(executor=None, **more):
    return compare(LINE, ["sgd"], **SETTINGS, executor=executor, **more)


@pytest.fixture(scope="module")
def alone(alike):
    return line()


def test_a_pool_of_processes_of_which_one_is_killed_gives_the_record_of_this_process(alone):
    pools = []

    def make():
        pools.append(ProcessPoolExecutor(1 if pools else 2, mp_context=multiprocessing.get_context("spawn")))
        return pools[-1]

    def kill(progress):
        if progress.done == 1:
            next(iter(pools[0]._processes.values())).kill()

    found = line(make, on_progress=kill)
    assert_same(found, alone)
    places = found.results["places"]
    assert len(pools) == 2 and len(places) >= 2 and os.getpid() not in {place["process"] for place in places}


def test_a_dask_cluster_with_a_killed_and_a_late_worker_gives_the_record_of_this_process(alone):
    distributed = pytest.importorskip("distributed")

    def kill(progress):
        if progress.done == 1:
            os.kill(cluster.workers[0].pid, signal.SIGKILL)
            cluster.scale(3)

    settings = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, **settings) as cluster, distributed.Client(cluster) as client:
        assert_same(line(client, on_progress=kill), alone)


def test_the_job_script_of_the_page_asks_for_what_it_says():
    pytest.importorskip("dask_jobqueue")
    import dask

    page = (Path(jaxmlp.__file__).parent / "comparison" / "README.md").read_text(encoding="utf-8")
    [code] = [block for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "SLURMCluster" in block]
    options = {"host": "127.0.0.1", "dashboard_address": None}
    found = {}
    with dask.config.set({"jobqueue.slurm.scheduler-options": options}):
        exec(compile(code.partition("print(")[0], "README.md", "exec"), found)
    with found["cluster"] as cluster:
        script = cluster.job_script()
    for line in ("#SBATCH -p gpu", "#SBATCH --cpus-per-task=4", "#SBATCH --gres=gpu:1", "#SBATCH -t 02:00:00"):
        assert line in script.splitlines()
    assert "export JAX_COMPILATION_CACHE_DIR=" in script and "--nthreads 1 " in script
