"""The record of an experiment: plain JSON, and where its numbers came from."""

import subprocess

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmlp.comparison import record, records


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Return a function that runs git in a new repository with one commit of one file."""
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "somebody")

    def git(*arguments):
        done = subprocess.run(["git", "-C", tmp_path, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init")
    (tmp_path / "own.py").write_text("x = 1\n")
    git("add", "own.py")
    git("commit", "-m", "first")
    return git


def code_at(path, monkeypatch):
    """Let the running code lie at path."""
    path.parent.mkdir(parents=True)
    path.write_text("# the library\n")
    monkeypatch.setattr(record, "__file__", str(path))
    return path


@pytest.mark.parametrize("ignored", [False, True])
def test_an_installed_package_has_no_commit_though_it_lies_in_a_repository(tmp_path, monkeypatch, repository, ignored):
    if ignored:
        (tmp_path / ".gitignore").write_text(".venv\n")
    code_at(tmp_path / ".venv" / "lib" / "site-packages" / "jaxmlp" / "comparison" / "record.py", monkeypatch)
    assert record.provenance()["commit"] is None


def test_a_clone_has_its_commit_and_says_when_files_differ_from_it(tmp_path, monkeypatch, repository):
    path = code_at(tmp_path / "jaxmlp" / "comparison" / "record.py", monkeypatch)
    repository("add", ".")
    repository("commit", "-m", "the library")
    head = repository("rev-parse", "HEAD")
    assert len(head) == 40 and record.provenance()["commit"] == head
    (tmp_path / "untracked").touch()
    assert record.provenance()["commit"] == head
    path.write_text("# changed\n")
    assert record.provenance()["commit"] == f"{head}+changes"


def test_outside_a_repository_and_without_git_there_is_no_commit(tmp_path, monkeypatch):
    code_at(tmp_path / "jaxmlp" / "record.py", monkeypatch)
    assert record.provenance()["commit"] is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert record.provenance()["commit"] is None


def test_a_record_is_plain_json(tmp_path):
    values = {"a": jnp.arange(2), "b": np.float32(0.5), "c": float("nan"), "d": tmp_path, 5: (True, None, "ä")}
    path = tmp_path / "new" / "record.json"
    record.write(path, values)
    assert record.read(path) == {"a": [0, 1], "b": 0.5, "c": None, "d": str(tmp_path), "5": [True, None, "ä"]}
    for text in ("{", "[]"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"record.json is not .*; run the experiment again"):
            record.read(path)


def test_a_record_that_is_replaced_meanwhile_is_read_whole(tmp_path, monkeypatch):
    path, texts = tmp_path / "results.json", {}
    for content in (1, 2):
        about = {"experiment": "optimizers", "problems": {}, "content": content}
        records.write(tmp_path, about, {"x": np.full(3, content)})
        texts[content] = path.read_bytes()
    path.write_bytes(texts[1])  # another process has written its curves and not yet its results
    monkeypatch.setattr(records.time, "sleep", lambda seconds: path.write_bytes(texts[2]))
    results, curves = records.read(tmp_path)
    assert (results["content"], curves["x"].tolist()) == (2, [2, 2, 2])
