"""The timing of libraries in turns: that they train the same, and what is made of the times."""

import importlib
import json

import jax
import numpy as np
import pytest
from rich.console import Console

from experiments.common.peers.settings import Settings, glorot
from experiments.throughput import cases, experiment, machine, processes, report, rules
from experiments.throughput.cases import SYSTEMS
from experiments.throughput.profile import PARTS, Profile

SMALL = Settings((12, 8, 3), 16, 0.05, "sgd")


@pytest.fixture
def standard():
    """The strict promotion of the other tests is not that of other libraries."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def examples(n=100):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n).astype(np.int32)
    return (rng.normal(size=(3, 12))[y] + rng.normal(size=(n, 12))).astype(np.float32), y


def trainer_of(name, settings, x, y):
    if cases.absent(name):
        pytest.skip(f"{SYSTEMS[name].package} is not installed")
    system = SYSTEMS[name]
    further = {"adjustable": True} if system.kind == "loop" else {}
    return importlib.import_module(f"experiments.common.peers.{system.module}").Trainer(settings, x, y, **further)


CHECKED = [(n, rule) for n in SYSTEMS if n != "torch_compiled" for rule in ("sgd", "adam")]  # that one takes a minute
QUICK = [("numpy", "sgd"), ("numpy", "adam"), ("optax", "sgd"), ("jaxmlp", "adam")]


@pytest.mark.parametrize(
    "name, rule", [each if each in QUICK else pytest.param(*each, marks=pytest.mark.slow) for each in CHECKED]
)
def test_every_library_reaches_the_loss_by_hand_from_the_same_weights_and_batches(name, rule, standard):
    x, y = examples()
    settings = SMALL._replace(rule=rule)
    trainer, by_hand = (trainer_of(n, settings, x, y) for n in (name, "numpy"))
    losses = []
    for each in (trainer, by_hand):
        each.reset(glorot(settings, 0), seed=0)
        each.train(2)
        each.reset(glorot(settings, 1), seed=0)  # from the start, whatever was trained before
        losses.append(each.train(2, shuffle=False))
    # float32, 14 steps; Keras and scikit-learn add eps before they correct the mean square.
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    trainer.reset(glorot(settings, 1), seed=0, learning_rate=1e-9)
    by_hand.reset(glorot(settings, 1), seed=0, learning_rate=1e-9)
    assert trainer.train(2) == pytest.approx(by_hand.train(2), rel=1e-4)  # nothing moves, so the order is nothing


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n != "jaxmlp" else n for n in rules.NAMES])
def test_every_rule_moves_parameters_as_far_as_the_one_by_hand(name, standard):
    if cases.absent(name):
        pytest.skip(f"{SYSTEMS[name].package} is not installed")
    if name == "torch_compiled":
        pytest.skip("torch.compile takes a minute; these are the same optimizers")
    layers = glorot(SMALL, 0)
    grads = rules.gradients(layers)
    starts, by_hand = rules.starts(name, layers, grads), rules.starts("numpy", layers, grads)
    assert set(starts) == set(cases.SLOTS) or name == "sklearn"
    for rule, start in starts.items():
        (take, read), (take_by_hand, read_by_hand) = start(), by_hand[rule]()
        take(5)
        take_by_hand(5)
        for (w, _), (expected, _) in zip(read(), read_by_hand(), strict=True):
            np.testing.assert_allclose(np.asarray(w), expected, rtol=0, atol=2e-6, err_msg=rule)  # float32, |w| < 2


def test_the_interval_of_a_ratio_is_that_of_the_sign_test():
    values = np.arange(1.0, 13.0)
    assert report.ratio(values[:7]) == (4.0, 1.0, 7.0)  # 98.4 %; without the extremes 87.5 %
    assert report.ratio(values) == (6.5, 3.0, 10.0)  # 96.1 %
    assert report.ratio(values[:5]) == (3.0, None, None)  # the whole range has 93.75 %


def test_the_machine_rates_are_of_the_order_of_a_machine(monkeypatch):
    monkeypatch.setattr(machine, "SIZE", 128)
    monkeypatch.setattr(machine, "LARGE", 1e6)
    for platform in ("cpu", "gpu"):  # the way of an accelerator works on a CPU as well
        found = machine.Machine(platform, 1e5).turn(seed=0)
        assert set(found) == {"products", "large", "small"} and all(1e7 < rate < 1e16 for rate in found.values())


@pytest.mark.slow
def test_the_parts_of_an_epoch_add_up_to_fit():
    profile = Profile(SMALL, *examples())
    profile.first()
    found = profile.turn(1)
    assert tuple(found["seconds"]) == PARTS
    assert sum(found["seconds"].values()) == pytest.approx(found["fit"])


def test_a_tiny_run_records_times_ratios_and_who_is_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(machine, "SIZE", 128)
    monkeypatch.setattr(machine, "LARGE", 1e6)
    monkeypatch.setattr(experiment, "PAUSE", 0.0)
    monkeypatch.setitem(SYSTEMS, "torch", SYSTEMS["torch"]._replace(package="no_such_package"))
    monkeypatch.setitem(SYSTEMS, "ghost", SYSTEMS["numpy"]._replace(title="Ghost"))  # which the process does not know
    monkeypatch.setattr(
        experiment, "_parser", lambda made=experiment._parser: _with(made(), systems=["numpy", "torch", "ghost"])
    )
    words = ["--cases", "small", "--problem", "synthetic", "--examples", "300", "--turns", "2"]
    assert experiment.main([*words, "--output", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "results.json").read_text())
    rows, summary = record["cases"]["small"]["systems"], record["summary"]["cases"]["small"]
    assert set(rows) == {"machine", "jaxmlp", "numpy"}
    ours, theirs = ([turn["seconds"] for turn in rows[name]["turns"]] for name in ("jaxmlp", "numpy"))
    assert summary["ratio"]["numpy"]["median"] == pytest.approx(np.median(np.divide(ours, theirs)))
    # An epoch of five batches from equal weights: sums in another order.
    assert rows["numpy"]["loss"] == pytest.approx(rows["jaxmlp"]["loss"], rel=1e-5)
    assert rows["jaxmlp"]["first"] > np.median(ours) and rows["jaxmlp"]["memory"]["process"] > 1e7
    text, table = capsys.readouterr().out, (tmp_path / "table.md").read_text()
    for line in ("PyTorch: no_such_package is not installed", "Ghost failed: KeyError: 'ghost'", "All reach the same"):
        assert line in text and line in table
    assert "| jaxmlp |" in table and (tmp_path / "throughput.png").stat().st_size > 10_000


def _with(parser, **defaults):
    parser.set_defaults(**defaults)
    return parser


def test_another_loss_is_reported_by_the_exit_status():
    row = {"ready": 1.0, "first": 2.0, "compiling": 1.0, "threads": None, "memory": {"process": 1e8, "device": None}}
    turns = [{"seconds": 1.0, "loss": 0.5}] * 6
    rates = [{"products": 1e11, "large": 1e10, "small": 1e11}] * 6
    systems = {name: {**row, "turns": turns, "loss": loss} for name, loss in (("jaxmlp", 0.5), ("keras", 0.6))}
    found = {"examples": 60_000, "epochs": 1, "source": "MNIST", "absent": {}, "profile": {}}
    found["cases"] = {"small": {"systems": {"machine": {"turns": rates}, **systems}, "failed": {}}}
    summary = report.summary(found)
    assert summary["disagreeing"] == ["small: keras"]
    assert "Not the same result as jaxmlp's: small: keras." in report.notes(found, summary)
    # 60,000 examples of 409,088 operations at 1e11 a second.
    assert summary["cases"]["small"]["floor"]["products"] == pytest.approx(0.2454528)
    assert summary["cases"]["small"]["share"]["jaxmlp"]["median"] == pytest.approx(0.2454528)
    console = Console(width=200, record=True)
    console.print(*[table.rich() for table in report.tables(found, summary)])
    assert "784-128-10, batch 64, SGD; machine: 100 Gflop/s" in console.export_text()


@pytest.mark.parametrize("words", ["--examples 60001", "--examples 10", "--cases rules --profile", "--cases nothing"])
def test_bad_options_are_refused_before_anything_is_measured(words, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(processes.subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    assert experiment.main([*words.split(), "--output", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
