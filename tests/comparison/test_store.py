"""The folder of kept runs: one owner, one plan, and a way out of whatever a kill leaves."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from jaxmlp.comparison.store import RunStore, load_arrays, save_arrays

HOLD = """
import sys
from pathlib import Path
from jaxmlp.comparison.store import RunStore
store = RunStore(Path(sys.argv[1]), {}, resume=False)
print("owned", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path):
    store = RunStore(tmp_path / "runs", {"epochs": 5}, resume=False)
    yield store
    store.close()


def keep_one(store):
    store.cached("run", lambda: {"x": np.arange(3)})
    store.close()
    return store.folder / "run.npz"


def reopened(store, plan=None, *, resume=True):
    return RunStore(store.folder, plan or {"epochs": 5}, resume=resume)


@pytest.mark.slow
def test_a_folder_has_one_owner_whose_lock_ends_with_its_process(tmp_path):
    folder = tmp_path / "runs"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == "owned\n"
        for resume in (False, True):
            with pytest.raises(ValueError, match=rf"in use by another run \(process {owner.pid} on .*another --output"):
                RunStore(folder, {}, resume=resume)
        owner.kill()
        owner.wait()
        RunStore(folder, {}, resume=False).close()


def test_a_refused_store_gives_the_folder_up(store):
    keep_one(store)
    for plan, resume in (({"epochs": 6}, True), ({"epochs": 5}, False)):
        with pytest.raises(ValueError):
            reopened(store, plan, resume=resume)
    reopened(store).close()


def test_runs_of_another_plan_are_not_believed(store, tmp_path):
    path = keep_one(store)
    other = RunStore(tmp_path / "other", {"epochs": 6}, resume=False)
    shutil.copy(path, other.folder)
    assert other.kept("run") is None


def test_a_run_under_another_name_or_with_other_arrays_is_not_believed(store):
    path = keep_one(store)
    again = reopened(store)
    shutil.copy(path, path.with_name("other.npz"))
    assert again.kept("other") is None
    arrays = load_arrays(path)
    assert arrays is not None
    for changed in ({"x": arrays["x"] + 1}, {"y": arrays["x"]}, {"x": arrays["x"].astype(float)}):
        save_arrays(path, changed | {"digest": arrays["digest"]})
        assert again.kept("run") is None
    save_arrays(path, {"x": np.arange(3)})
    assert again.kept("run") is None


@pytest.mark.parametrize("damage", [b"", b"[1", b"[]", b"\xff\x00", None])
def test_a_damaged_plan_has_a_way_out_that_works(store, damage):
    keep_one(store)
    path = store.folder / "plan.json"
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(
        ValueError, match=r"plan\.json, .* missing or damaged; delete the folder and leave out --resume"
    ):
        reopened(store)
    shutil.rmtree(store.folder)
    reopened(store, resume=False).close()


def test_a_kill_while_the_plan_is_written_blocks_nothing(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / ".jaxmlp-0123456789abcdef.json").write_text("{")
    RunStore(folder, {}, resume=False).close()
    assert (folder / "plan.json").read_text() == "{}\n"


def test_a_kill_while_finished_runs_are_deleted_blocks_nothing(store, tmp_path, monkeypatch):
    store.cached("run", lambda: {"x": np.arange(3)})

    def kill(path, **how):
        (path / "plan.json").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", kill)
        with pytest.raises(KeyboardInterrupt):
            store.discard()
    store.close()
    reopened(store, resume=False).close()
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_finished_runs_that_the_next_owner_removes_too_are_no_error(store, monkeypatch):
    remove = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", lambda path, **how: (remove(path), remove(path, **how)))
    store.discard()
    assert list(store.folder.parent.iterdir()) == []
