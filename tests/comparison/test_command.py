"""The comparison as its user runs it: on the command line, interrupted, resumed, extended, reported again."""

import dataclasses
import errno
import json

import numpy as np
import pytest

import jaxmlp
from jaxmlp.comparison import command, comparing, plans, problems, record
from jaxmlp.comparison.store import RunStore, load_arrays

pytestmark = pytest.mark.usefixtures("rough", "no_hidden_layer", "few_seeds")

SMALL = ["--problem", "digits", "--optimizers", "sgd", "adam", "--learning-rates", "0.01", "0.1", "--seeds", "2"]
SMALL += ["--epochs", "2"]
REPORT = command._report


def run(folder, *more):
    return command.main([*SMALL, "--output", str(folder), *more])


def without_times(value):
    """The record's numbers that must not depend on the clock."""
    if isinstance(value, dict):
        return {
            k: without_times(v)
            for k, v in value.items()
            if not k.startswith("seconds") and k not in ("command", "crc32", "sha256")
        }
    return value


@pytest.fixture(scope="module")
def no_hidden_layer():
    """Take the hidden layer off the digits' network, which halves what there is to compile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            problems.PROBLEMS, "digits", dataclasses.replace(problems.PROBLEMS["digits"], layer_sizes=(64, 10))
        )
        yield


@pytest.fixture(scope="module")
def few_seeds():
    """Tune with one seed, and leave the report out: what it is made of is tested here, not how it looks."""
    make_plan = plans.make_plan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "make_plan", lambda *a, **k: make_plan(*a, **k, tuning_seeds=1))
        patch.setattr(command, "_report", lambda folder, screen: None)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory, rough, no_hidden_layer, few_seeds):
    folder = tmp_path_factory.mktemp("finished")
    assert run(folder) == 0
    return folder


@pytest.fixture
def reporting(monkeypatch):
    """Report as the command does; these tests end before anything is drawn."""
    monkeypatch.setattr(command, "_report", REPORT)


def copied(finished, folder):
    for name in ("results.json", "curves.npz"):
        (folder / name).write_bytes((finished / name).read_bytes())
    return folder


def test_a_run_leaves_its_record_and_curves(finished):
    assert {path.name for path in finished.iterdir()} == {"results.json", "curves.npz"}
    results = json.loads((finished / "results.json").read_text())
    assert results["format"] == 3 and results["problem_chosen_because"] == "named by --problem"
    assert results["provenance"]["versions"]["jax"]
    problem, curves = results["problems"]["digits"], load_arrays(finished / "curves.npz")
    assert curves["digits/adam/race/test_score"].shape == (2, 2) and "digits/early_epochs" in curves
    assert len(problem["candidates"]["adam"]["race"]["test_score"]) == 2 and problem["data_sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("kills", [(1,), (2, 1), (1, 1, 1)])
def test_an_interrupted_run_resumes_to_the_record_of_an_uninterrupted_one(finished, tmp_path, monkeypatch, kills):
    keep = RunStore.keep
    for index, count in enumerate(kills):
        left = [count]

        def kill(store, name, arrays, place=None, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            keep(store, name, arrays, place)

        monkeypatch.setattr(RunStore, "keep", kill)
        assert run(tmp_path, *(["--resume"] if index else [])) == 130
        assert not (tmp_path / "results.json").exists()
        assert run(tmp_path) == 2  # without --resume, kept runs are not thrown away
    monkeypatch.setattr(RunStore, "keep", keep)
    assert run(tmp_path, "--resume") == 0
    assert without_times(record.read(tmp_path / "results.json")) == without_times(
        record.read(finished / "results.json")
    )
    before, after = (load_arrays(folder / "curves.npz") for folder in (finished, tmp_path))
    assert before.keys() == after.keys()
    for name in before:
        if not name.endswith("/seconds"):
            np.testing.assert_array_equal(before[name], after[name])


def test_a_record_is_extended_and_trains_nothing_again(finished, tmp_path):
    assert run(copied(finished, tmp_path), "--add-seeds", "1") == 0
    results = record.read(tmp_path / "results.json")["problems"]["digits"]
    assert [look["seeds"] for look in results["race"]["looks"]] == [2, 3]
    before = record.read(finished / "results.json")["problems"]["digits"]
    for name, entry in results["candidates"].items():
        assert entry["race"]["seeds"] == [1000, 1001, 1002]
        assert entry["race"]["test_score"][:2] == before["candidates"][name]["race"]["test_score"]
        assert entry["tuning"] == before["candidates"][name]["tuning"]
    assert results["effort"]["full"] == before["effort"]["full"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "3"], r"plans.digits.seeds: 2 before, 3 now"),
        (["--margin", "0.01"], r"plans.digits.margin: 0.002 before, 0.01 now"),
        (["--batch-size", "16"], r"plans.digits.problem.batch_size: 32 before, 16 now"),
    ],
)
def test_a_record_of_other_settings_is_not_extended(finished, tmp_path, capsys, words, message):
    assert run(copied(finished, tmp_path), "--add-seeds", "1", *words) == 2
    error = capsys.readouterr().err
    assert message in error and "repeat the settings" in error
    assert record.read(tmp_path / "results.json") == record.read(finished / "results.json")


def test_a_record_of_another_version_or_other_data_is_not_extended(finished, tmp_path, capsys, monkeypatch):
    provenance = record.provenance()
    other = provenance | {"versions": provenance["versions"] | {"jax": "0.1"}}
    monkeypatch.setattr(record, "provenance", lambda: other)
    assert run(copied(finished, tmp_path), "--add-seeds", "1") == 2
    assert "versions.jax" in capsys.readouterr().err
    monkeypatch.setattr(record, "provenance", lambda: provenance)
    monkeypatch.setattr(record, "digest", lambda *arrays: "0")
    assert run(tmp_path, "--add-seeds", "1") == 2
    assert "data.digits" in capsys.readouterr().err


def test_there_must_be_a_record_to_extend(tmp_path, capsys):
    assert run(tmp_path, "--add-seeds", "1") == 2
    assert "there is no results.json" in capsys.readouterr().err


def test_a_damaged_run_file_is_run_again(finished, tmp_path):
    plan = {"a": 1}
    store = RunStore(tmp_path / "runs", plan, resume=False)
    store.cached("run", lambda: {"x": np.arange(3)})
    path = tmp_path / "runs" / "run.npz"
    path.write_bytes(path.read_bytes()[:50])
    store.close()
    again = RunStore(tmp_path / "runs", plan, resume=True)
    np.testing.assert_array_equal(again.cached("run", lambda: {"x": np.arange(4)})["x"], np.arange(4))
    np.testing.assert_array_equal(again.cached("run", lambda: {"x": np.arange(5)})["x"], np.arange(4))


def test_resuming_with_other_settings_is_refused_and_named(tmp_path):
    store = RunStore(tmp_path / "runs", {"plan": {"batch_size": 32}}, resume=False)
    store.cached("a", lambda: {"x": np.ones(1)})
    store.close()
    with pytest.raises(ValueError, match=r"plan\.batch_size: 32 before, 16 now"):
        RunStore(tmp_path / "runs", {"plan": {"batch_size": 16}}, resume=True)


def test_a_folder_that_holds_something_else_is_not_touched(tmp_path, capsys):
    precious = tmp_path / "unfinished-runs" / "precious.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    assert run(tmp_path) == 2
    assert (
        "holds an unfinished run; to continue it, add --resume" in capsys.readouterr().err
        and precious.read_text() == "mine"
    )


def test_resuming_nothing_is_refused(tmp_path, capsys):
    assert run(tmp_path / "new", "--resume") == 2
    assert "nothing to resume" in capsys.readouterr().err


def test_an_output_that_is_a_file_is_refused_with_a_way_out(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file" / "below") == 2
    assert "choose another folder with --output" in capsys.readouterr().err


@pytest.mark.slow
def test_without_mnist_the_default_is_digits_and_says_why(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nothing"))
    monkeypatch.setattr(jaxmlp.datasets, "load", no_mnist(jaxmlp.datasets.load))
    assert command.main([*SMALL[2:], "--output", str(tmp_path / "out")]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "digits: used because MNIST is not available (no mnist here)" in output
    assert "no mnist here" in record.read(tmp_path / "out" / "results.json")["problem_chosen_because"]


def test_a_named_mnist_that_is_missing_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(jaxmlp.datasets, "load", no_mnist(jaxmlp.datasets.load))
    assert command.main(["--problem", "mnist", "--output", str(tmp_path)]) == 2
    assert "no mnist here" in capsys.readouterr().err


def no_mnist(load):
    def refuse(name, **where):
        if name == "mnist":
            raise jaxmlp.datasets.DatasetUnavailableError("no mnist here")
        return load(name, **where)

    return refuse


HUGE, TOO_LARGE = "99999999999999999999", ["--batch-size", "100000"]
BAD = [
    (["--problem", "minst"], "Did you mean 'mnist'"),
    (["--optimizers", "adm"], "Did you mean 'adam'"),
    (["--learning-rates", "0"], "learning_rates must be in (0"),
    (["--learning-rates", "nan"], "learning_rates must be in (0"),
    (["--seeds", "0"], "seeds must be at least 1"),
    (["--epochs", "0"], "epochs must be at least 1"),
    (TOO_LARGE, "batch_size must be at most the 1150 training examples"),
    (["--optimizers", "sgd", "sgd"], "different names"),
    (["--first-seed", "0"], "first_seed must be at least"),
    (["--max-seeds", "9"], "add --decide"),
    (["--decide", "--splits", "2"], "leave one of them out"),
    (["--margin", "0"], "margin must be in"),
    (["--add-seeds", "0"], "--add-seeds must be at least 1"),
    (["--tries", "0"], "--tries must be at least 1"),
    (["--tries", "8"], "leave it out, and give a range"),
    (["--schedule", "cosin"], "Did you mean 'cosine'"),
    (["--space", "sgd.b1=uniform(0, 1)"], "unknown hyperparameter of sgd 'b1'"),
    (["--output", "elsewhere"], "merge A B --output C"),
    (["--add-seeds", HUGE], "--add-seeds must be at most 100,000"),
    (["--seeds", HUGE], "seeds must be at most 100000"),
    (["--max-seeds", HUGE, "--decide"], "max_seeds must be at most 100000"),
    (["--splits", HUGE], "splits must be at most 100000"),
    (["--first-seed", HUGE], "first_seed must be at most"),
    (["--epochs", HUGE], "epochs must be at most 2147483647"),
    (["--batch-size", HUGE], "batch_size must be at most 2147483647"),
    (["--learning-rates", "1e39"], "learning_rates must be at least"),
    (["--learning-rates", "1e-46"], "learning_rates must be at least"),
    (["--report-only", "--decide"], "--report-only takes --output alone"),
    (["--resume"], "nothing to resume"),
]


@pytest.mark.parametrize(
    ("words", "message"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_bad_options_are_refused_with_the_reason_before_data_are_loaded(words, message, tmp_path, capsys, monkeypatch):
    if words != TOO_LARGE:
        monkeypatch.setattr(problems, "load", None)
    assert run(tmp_path, *words) == 2
    assert message in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_every_option_and_problem_is_explained(capsys):
    assert command.main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name[:8] in listed for name in problems.PROBLEMS)
    assert "dialects.torch.rmsprop" in listed and "momentum one_minus_log_uniform(0.01, 1)" in " ".join(listed.split())
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])
    text = capsys.readouterr().out
    for option in ("--first-seed", "--decide", "--max-seeds", "--add-seeds", "--splits", "--margin"):
        assert option in text
    for option in ("--space", "--tries", "--schedule", "--add", "--overwrite", "merge"):
        assert option in text
    for option in ("--problem", "--optimizers", "--learning-rates", "--seeds", "--epochs", "--batch-size", "--output"):
        assert option in text


def edited(path, change):
    """Change the record at path as somebody with an editor would."""
    results = json.loads(path.read_text())
    path.write_text(json.dumps(change(results) or results))


EDITS = {
    "a number": lambda r: r["problems"]["digits"]["candidates"]["adam"]["race"]["test_score"].__setitem__(0, 1.0),
    "a name": lambda r: r["problems"]["digits"]["candidates"].update(best=r["problems"]["digits"]["candidates"]["sgd"]),
    "a field less": lambda r: r["problems"]["digits"].pop("race") and None,
    "another type": lambda r: r["problems"].update(digits=[]),
    "a path": lambda r: r["curves"].update(file="../../../etc/passwd"),
    "a problem": lambda r: r["problems"].update({"../../escaped": r["problems"].pop("digits")}),
    "a command": lambda r: r.update(command="python <script>alert(1)</script>"),
    "the digest": lambda r: r.update(sha256=""),
    "no digest": lambda r: r.pop("sha256") and None,
    "nothing but its kind": lambda r: {"experiment": "optimizers", "format": record.FORMAT},
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_record_is_neither_reported_nor_extended(finished, reporting, tmp_path, capsys, name):
    edited(copied(finished, tmp_path) / "results.json", EDITS[name])
    for words in (
        ["--output", str(tmp_path), "--report-only"],
        [*SMALL, "--output", str(tmp_path), "--add-seeds", "1"],
    ):
        assert command.main(words) == 2
        assert "results.json is damaged, was edited, or is of an older version; run" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.npz", "results.json"]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"experiment": "optimizers", "format": 3, "a": ' + "[" * 500 + "]" * 500]
)
def test_a_record_nested_without_end_is_refused(reporting, tmp_path, capsys, text):
    (tmp_path / "results.json").write_text(text)
    assert command.main(["--output", str(tmp_path), "--report-only"]) == 2
    error = capsys.readouterr().err
    assert "results.json is not a JSON record" in error or "results.json is damaged, was edited" in error


def test_a_cut_or_missing_file_of_curves_is_refused(finished, reporting, tmp_path, capsys):
    path = copied(finished, tmp_path) / "curves.npz"
    path.write_bytes(path.read_bytes()[:-1])
    for _ in range(2):
        assert command.main(["--output", str(tmp_path), "--report-only"]) == 2
        assert "curves.npz is missing, damaged or from another run" in capsys.readouterr().err
        path.unlink(missing_ok=True)


def full(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_after_training_says_what_is_kept_and_how_to_go_on(finished, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "with space"
    folder.mkdir()
    monkeypatch.setattr(command, "_report", full)
    assert command.main(["--output", str(copied(finished, folder)), "--report-only"]) == 2
    error = capsys.readouterr().err
    assert "No space left on device; mend that, e.g. free some space; the record is kept" in error
    assert f"python -m jaxmlp.comparison --report-only --output '{folder}'" in error


def test_a_full_disk_while_runs_are_kept_says_that_they_can_be_continued(tmp_path, capsys, monkeypatch):
    def filling(plan, data, runs, *arguments, **settings):
        runs.keep("one", {"x": np.ones(1)})
        full()

    monkeypatch.setattr(comparing.protocol, "execute", filling)
    assert run(tmp_path) == 2
    error = capsys.readouterr().err
    assert "No space left on device; mend that; finished runs are kept; to continue, repeat" in error
    assert "choose another folder" not in error


def test_a_folder_in_place_of_a_kept_run_is_named(tmp_path):
    store = RunStore(tmp_path / "runs", {}, resume=False)
    (tmp_path / "runs" / "one.npz").mkdir()
    with pytest.raises(ValueError, match=r"one\.npz is a folder, where a finished run is to be kept; remove it"):
        store.cached("one", dict)


def test_resuming_on_other_data_is_refused(tmp_path, monkeypatch, capsys):
    plan, load = RunStore.__init__, problems.load

    def stop(self, *arguments, **options):
        plan(self, *arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(RunStore, "__init__", stop)
    assert run(tmp_path) == 130
    monkeypatch.setattr(RunStore, "__init__", plan)
    monkeypatch.setattr(problems, "load", lambda *a, **k: load(*a, **k)._replace(test=load(*a, **k).validation))
    assert run(tmp_path, "--resume") == 2
    assert "data.digits" in capsys.readouterr().err
