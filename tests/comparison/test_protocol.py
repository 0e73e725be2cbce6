"""The comparison of optimizers as its user runs it: on the command line, interrupted, resumed, reported again."""

import dataclasses
import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

import jaxmlp
from jaxmlp.comparison import command as optimizers
from jaxmlp.comparison import drawing, problems, protocol, record
from jaxmlp.comparison.store import RunStore, load_arrays

pytestmark = pytest.mark.usefixtures("rough", "no_hidden_layer")

SMALL = ["--problem", "digits", "--optimizers", "sgd", "adam", "--learning-rates", "0.01", "0.1", "--seeds", "2"]
SMALL += ["--epochs", "2"]


def run(folder, *more):
    return optimizers.main([*SMALL, "--output", str(folder), *more])


def without_times(value):
    """The record's numbers that must not depend on the clock."""
    if isinstance(value, dict):
        return {
            k: without_times(v)
            for k, v in value.items()
            if not k.startswith("seconds") and k not in ("command", "crc32")
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


@pytest.fixture
def undrawn(monkeypatch):
    """Leave the pictures empty."""

    def save(figure, path):
        path.write_bytes(b"")
        plt.close(figure)

    monkeypatch.setattr(drawing, "save", save)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, rough, no_hidden_layer):
    folder = tmp_path_factory.mktemp("finished")
    assert run(folder) == 0
    return folder


def test_a_run_leaves_its_record_curves_tables_pictures_and_page(finished):
    names = {path.name for path in finished.iterdir()}
    pictures = {f"digits-{kind}.png" for kind in ("learning_curves", "sensitivity", "time_to_target", "budget")}
    assert names == {"results.json", "curves.npz", "table.md", "table.tex", "report.html", "profile.png"} | pictures
    results = json.loads((finished / "results.json").read_text())
    assert results["problem_chosen_because"] == "named by --problem"
    assert results["provenance"]["versions"]["jax"]
    entry = results["problems"]["digits"]["optimizers"]["adam"]
    assert entry["chosen"] in entry["learning_rates"] == [0.01, 0.1]
    assert len(entry["final"]["test_accuracy"]) == 2 and np.shape(entry["tuning"]["validation_accuracy"]) == (2, 2)


@pytest.mark.slow
def test_the_choice_is_the_best_on_validation_and_the_test_figures_are_fit_alone(finished):
    entry = record.read(finished / "results.json")["problems"]["digits"]["optimizers"]["adam"]
    means = np.mean(entry["tuning"]["validation_accuracy"], axis=1)
    assert entry["chosen"] == entry["learning_rates"][int(np.argmax(means))]

    problem = problems.get("digits")
    data, net = problems.load(problem), problem.network()
    key = protocol.jax.random.key(1000)
    init_key, fit_key = protocol.jax.random.split(key)
    train = tuple(np.concatenate(parts) for parts in zip(data.train, data.validation, strict=True))
    result = jaxmlp.fit(
        jaxmlp.objective(net.apply),
        net.init(init_key),
        jaxmlp.optimizers.adam(entry["chosen"]),
        train,
        key=fit_key,
        epochs=2,
        batch_size=32,
        validation=data.test,
        metrics={"accuracy": jaxmlp.accuracy(net.apply)},
    )
    assert float(result.history.metrics["accuracy"][-1]) == pytest.approx(entry["final"]["test_accuracy"][0], abs=1e-7)


def test_the_parts_of_a_problem_are_disjoint_and_whole():
    data = problems.load(problems.get("digits"))
    assert [len(part[1]) for part in data] == [1150, 287, 360]
    rows = np.concatenate([np.column_stack(part) for part in data])
    whole = jaxmlp.datasets.load("digits")
    expected = np.concatenate([np.column_stack(part) for part in (whole.train, whole.test)])
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], expected[np.lexsort(expected.T)])


@pytest.mark.slow
@pytest.mark.parametrize("kills", [(1,), (3, 2), (3, 1, 1)])
def test_an_interrupted_run_resumes_to_the_record_of_an_uninterrupted_one(
    finished, undrawn, tmp_path, monkeypatch, kills
):
    execute = protocol.execute

    def interrupted_after(count):
        def run_some(plan, data, store, on_run):
            left = [count]

            def counting(name, compute):
                if not (store.folder / f"{name}.npz").exists():
                    left[0] -= 1
                    if left[0] < 0:
                        raise KeyboardInterrupt
                return RunStore.cached(store, name, compute)

            store.cached = counting
            return execute(plan, data, store, on_run)

        return run_some

    for index, count in enumerate(kills):
        monkeypatch.setattr(protocol, "execute", interrupted_after(count))
        assert run(tmp_path, *(["--resume"] if index else [])) == 130
        assert not (tmp_path / "results.json").exists()
        assert run(tmp_path) == 2  # without --resume, kept runs are not thrown away
    monkeypatch.setattr(protocol, "execute", execute)
    assert run(tmp_path, "--resume") == 0
    assert without_times(record.read(tmp_path / "results.json")) == without_times(
        record.read(finished / "results.json")
    )
    before, after = (load_arrays(folder / "curves.npz") for folder in (finished, tmp_path))
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


def test_a_damaged_run_file_is_run_again(finished, tmp_path):
    plan = {"a": 1}
    store = RunStore(tmp_path / "runs", plan, resume=False)
    store.cached("run", lambda: {"x": np.arange(3)})
    path = tmp_path / "runs" / "run.npz"
    path.write_bytes(path.read_bytes()[:50])
    again = RunStore(tmp_path / "runs", plan, resume=True)
    np.testing.assert_array_equal(again.cached("run", lambda: {"x": np.arange(4)})["x"], np.arange(4))
    np.testing.assert_array_equal(again.cached("run", lambda: {"x": np.arange(5)})["x"], np.arange(4))


def test_resuming_with_other_settings_is_refused_and_named(tmp_path):
    RunStore(tmp_path / "runs", {"plan": {"batch_size": 32}}, resume=False).cached("a", lambda: {"x": np.ones(1)})
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


@pytest.mark.parametrize("damage", ["no record", "another record", "other curves", "cut curves"])
def test_a_report_from_what_is_no_record_is_refused(finished, tmp_path, capsys, damage):
    record_text, curves = (finished / "results.json").read_text(), (finished / "curves.npz").read_bytes()
    if damage != "no record":
        (tmp_path / "results.json").write_text("{}" if damage == "another record" else record_text)
    (tmp_path / "curves.npz").write_bytes(curves[:-9] if damage == "cut curves" else curves + b"x")
    assert optimizers.main(["--report-only", "--output", str(tmp_path)]) == 2
    assert "run" in capsys.readouterr().err


def test_an_output_that_is_a_file_is_refused_with_a_way_out(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file" / "below") == 2
    assert "choose another folder with --output" in capsys.readouterr().err


def test_a_report_comes_from_the_record_alone(finished, tmp_path, monkeypatch, capsys):
    for name in ("results.json", "curves.npz"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    monkeypatch.setattr(jaxmlp, "fit", None)
    monkeypatch.setattr(jaxmlp, "sweep", None)
    assert optimizers.main(["--report-only", "--output", str(tmp_path)]) == 0
    assert "digits: 64-10" in capsys.readouterr().out
    for name in ("table.md", "table.tex", "report.html"):
        assert (tmp_path / name).read_text() == (finished / name).read_text()


def test_the_page_is_self_contained(finished):
    page = (finished / "report.html").read_text()
    assert page.count("<img") == 5 and page.count('src="data:image/png;base64,') == 5
    assert "http" not in page.split("<dl>")[0].replace("https", "http").split("data:image")[0]


@pytest.mark.slow
def test_without_mnist_the_default_is_digits_and_says_why(undrawn, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nothing"))
    monkeypatch.setattr(jaxmlp.datasets, "load", no_mnist(jaxmlp.datasets.load))
    assert optimizers.main([*SMALL[2:], "--output", str(tmp_path / "out")]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "digits: used because MNIST is not available (no mnist here)" in output
    assert "no mnist here" in record.read(tmp_path / "out" / "results.json")["problem_chosen_because"]


def test_a_named_mnist_that_is_missing_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(jaxmlp.datasets, "load", no_mnist(jaxmlp.datasets.load))
    assert optimizers.main(["--problem", "mnist", "--output", str(tmp_path)]) == 2
    assert "no mnist here" in capsys.readouterr().err


def no_mnist(load):
    def refuse(name, **where):
        if name == "mnist":
            raise jaxmlp.datasets.DatasetUnavailableError("no mnist here")
        return load(name, **where)

    return refuse


BAD = [
    (["--problem", "minst"], "Did you mean 'mnist'"),
    (["--optimizers", "adm"], "Did you mean 'adam'"),
    (["--learning-rates", "0"], "learning_rates must be in (0"),
    (["--learning-rates", "nan"], "learning_rates must be in (0"),
    (["--seeds", "0"], "seeds must be at least 1"),
    (["--epochs", "0"], "epochs must be at least 1"),
    (["--batch-size", "100000"], "batch_size must be at most"),
    (["--optimizers", "sgd", "sgd"], "different names"),
]


@pytest.mark.parametrize(
    ("words", "message"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_bad_options_are_refused_with_the_reason(words, message, tmp_path, capsys):
    assert run(tmp_path, *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "results.json").exists()


def test_every_option_and_problem_is_explained(capsys):
    assert optimizers.main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name[:8] in listed for name in problems.PROBLEMS)
    with pytest.raises(SystemExit, match="0"):
        optimizers.main(["--help"])
    text = capsys.readouterr().out
    for option in ("--problem", "--optimizers", "--learning-rates", "--seeds", "--epochs", "--batch-size", "--output"):
        assert option in text


def test_a_plan_fills_in_what_is_left_open_and_leaves_alone_what_is_given():
    close = (0.123451, 0.123452)
    assert protocol.make_plan(problems.get("digits"), ["sgd"], learning_rates=close).grids == {"sgd": close}
    plan = protocol.make_plan(problems.get("digits"), ["sgd"], learning_rates=[0.1, 0.2])
    assert plan.grids == {"sgd": (0.1, 0.2)} and (plan.tune_seeds, plan.seeds) == (3, 5)
    full = protocol.make_plan(problems.get("digits"), full=True)
    assert {len(grid) for grid in full.grids.values()} == {36} and (full.tune_seeds, full.seeds) == (10, 10)
    # Six optimizers, 36 learning rates and 10 seeds, then 10 seeds each.
    assert full.runs == 6 * (36 * 10 + 10)


@pytest.mark.slow
def test_runs_that_all_diverge_are_reported_as_such(tmp_path, capsys):
    words = ["--problem", "digits", "--optimizers", "sgd", "--learning-rates", "1e38", "--seeds", "2", "--epochs", "2"]
    assert optimizers.main([*words, "--output", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert "Warning: Diverged: 2 of 2 runs (sgd 2)." in output and "not finite" in output and "0.00 ± 0.00" in output


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
