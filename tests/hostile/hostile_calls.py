"""A good call of every public callable of the library, from which the hostile ones are made."""

import inspect
import pkgutil
import types
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxmlp
from jaxmlp import activations, augment, data, datasets, dialects, instruments, losses, optimizers, schedules
from jaxmlp.losses.targets import check_array, check_classes, check_labels, check_probabilities, check_weight

ROOT = Path(jaxmlp.__file__).parent
NOT_YET = {
    "jaxmlp.comparison": "its functions take records and folders; tests/comparison forges those",
    "jaxmlp.estimators": "scikit-learn's own checks of estimators call them with hostile input",
}
ONLY_RETURNED = "made by the library and returned; it holds what it is given"
EXEMPT = {
    **dict.fromkeys(
        ("Accuracy", "Best", "Dataset", "DeadUnits", "FitResult", "History", "Layer", "Moments"), ONLY_RETURNED
    ),
    **dict.fromkeys(("Network", "Objective", "Step", "TrainState"), ONLY_RETURNED),
    **dict.fromkeys(("AMSGradRawState", "AMSGradState", "AdaGradState", "AdamState", "MomentumState"), ONLY_RETURNED),
    **dict.fromkeys(("MomentumAverageState", "MomentumRateInsideState", "RMSPropState", "SGDState"), ONLY_RETURNED),
    "Readings": ONLY_RETURNED,
    **dict.fromkeys(("R2", "BinaryAccuracy", "ExactMatch", "MeanSquaredError", "Curve"), ONLY_RETURNED),
    "Schedule": "a protocol, for annotations",
    **dict.fromkeys(("DatasetUnavailableError", "Interrupted"), "an exception"),
}


class Call(NamedTuple):
    """A callable with arguments that it takes."""

    function: Callable[..., Any]
    good: dict[str, Any]
    use: Callable[[Any], Any] = lambda result: result
    """What a user does next with the result; it may be refused there too, where the value is known only then."""
    names: tuple[str, ...] = ()
    """Other words by which a message may name an argument."""
    keep: tuple[str, ...] = ()
    """Arguments that stay good: replacing them leaves the machine or the library."""
    nan: bool = False
    """Whether a documented result may hold NaN."""
    positional: tuple[str, ...] = ()
    """Arguments that are given by position, in order."""

    def __call__(self, arguments):
        """Call it with these arguments."""
        named = {name: value for name, value in arguments.items() if name not in self.positional}
        return self.use(self.function(*(arguments[name] for name in self.positional), **named))


X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
LABELS = np.array([0, 2, 1], np.int32)
NET = jaxmlp.mlp((4, 2, 3))
KEY = jax.random.key(0)
PARAMS = NET.init(KEY)
GRADS = jax.tree.map(jnp.ones_like, PARAMS)
LOSS = jaxmlp.objective(NET.apply)
WEIGHT = {"weight": np.ones(3, np.float32)}
OUTPUTS = np.linspace(-2, 2, 9, dtype=np.float32).reshape(3, 3)
RUN = {"key": KEY, "epochs": 1, "batch_size": 2, "validation": (X, LABELS), "metrics": {}, "keep_best": False}
RULES = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "amsgrad")
_CSV = "Survived,Pclass,Sex,Age,SibSp,Parch,Fare,Embarked\n1,3,female,,0,0,7.9,S\n"


def calls(folder: Path) -> dict[str, Call]:
    """Return a call of every public callable, and of every function that one of them returns, by name."""
    table, saved = folder / "train.csv", folder / "saved.safetensors"
    table.write_text(_CSV)
    jaxmlp.save(saved, PARAMS)
    targets = {"outputs": OUTPUTS, "targets": np.abs(OUTPUTS) / 2, **WEIGHT}
    triple = {"params": PARAMS, "x": X, "y": LABELS}
    weighted = triple | WEIGHT
    flip, turn = augment.random_flip((2, 2)), augment.distort((2, 2), rotation=10.0, elastic=3.0)
    adam = optimizers.adam(0.1)
    sweeping = {k: v for k, v in RUN.items() if k != "key"} | {"keys": jax.random.split(KEY, 1), "runs_at_once": 1}
    image = {"image_shape": (2, 2)}
    found = {
        "jaxmlp.mlp": Call(
            jaxmlp.mlp,
            {"layer_sizes": (4, 2, 3), "activation": "relu", "initializer": "he_normal", "dropout": 0.0},
            _start,
        ),
        "jaxmlp.mlp, dtype": Call(jaxmlp.mlp, {"layer_sizes": (4, 2, 3), "dtype": jnp.float32}, _start),
        "jaxmlp.mlp, compute_dtype": Call(jaxmlp.mlp, {"layer_sizes": (4, 2, 3), "compute_dtype": "bfloat16"}, _start),
        "jaxmlp.mlp().init": Call(NET.init, {"key": KEY}),
        "jaxmlp.mlp().apply": Call(NET.apply, {"params": PARAMS, "x": X, "key": None, "with_hidden": False}),
        "jaxmlp.objective": Call(
            jaxmlp.objective,
            {
                "apply": NET.apply,
                "loss": "softmax_cross_entropy",
                "l1": 0.1,
                "l2": 0.1,
                "class_weight": None,
            },
        ),
        "jaxmlp.objective, class_weight": Call(
            jaxmlp.objective,
            {"apply": NET.apply, "loss": "softmax_cross_entropy", "class_weight": (1.0, 2.0, 3.0)},
            lambda loss_fn: loss_fn(PARAMS, X, LABELS),
            keep=("apply", "loss"),
        ),
        "jaxmlp.objective(class_weight)()": Call(
            jaxmlp.objective(NET.apply, class_weight=(1.0, 2.0, 3.0)),
            {**weighted, "key": None},
            names=("targets", "labels", "outputs"),
        ),
        "jaxmlp.objective()": Call(LOSS, {**weighted, "key": None}, names=("targets", "labels", "outputs")),
        "jaxmlp.accuracy": Call(jaxmlp.accuracy, {"apply": NET.apply}),
        "jaxmlp.accuracy()": Call(jaxmlp.accuracy(NET.apply), weighted, names=("labels",)),
        "jaxmlp.losses.weighted_mean": Call(losses.weighted_mean, {"values": X[:, 0], "weight": np.ones(3, "f")}),
        "jaxmlp.schedules.get": Call(schedules.get, {"schedule": "cosine"}),
        "jaxmlp.schedules.constant": Call(schedules.constant, {"peak": 0.1}, _rate),
        "jaxmlp.schedules.cosine": Call(schedules.cosine, {"peak": 0.1, "steps": 5, "end": 0.0}, _rate),
        "jaxmlp.schedules.linear": Call(schedules.linear, {"peak": 0.1, "steps": 5, "end": 0.0}, _rate),
        "jaxmlp.schedules.warmup_cosine": Call(
            schedules.warmup_cosine, {"peak": 0.1, "warmup_steps": 2, "steps": 5, "start": 0.0, "end": 0.0}, _rate
        ),
        "jaxmlp.dead_units": Call(jaxmlp.dead_units, {"apply": NET.apply}),
        "jaxmlp.dead_units()": Call(jaxmlp.dead_units(NET.apply), triple, keep=("y",)),
        "jaxmlp.largest_weights": Call(jaxmlp.largest_weights, triple, keep=("x", "y")),
        "jaxmlp.gradient_norms": Call(jaxmlp.gradient_norms, {"step": jaxmlp.Step(0.0, PARAMS, GRADS, GRADS)}),
        "jaxmlp.apply_updates": Call(jaxmlp.apply_updates, {"params": PARAMS, "updates": GRADS}),
        "jaxmlp.fit": Call(
            jaxmlp.fit,
            {"loss_fn": LOSS, "params": PARAMS, "optimizer": adam, "train": (X, LABELS), **RUN}
            | {"state": None, "augment": None, "step_metrics": None, "patience": None}
            | {"eval_params": None, "shuffle": True, "eval_batch_size": None}
            | {"on_epoch": None, "checkpoint": None, "every": None}
            | {"instruments": {"loss": instruments.loss(2)}},
            names=("labels", "targets"),
        ),
        "jaxmlp.sweep": Call(
            jaxmlp.sweep,
            {"loss_fn": LOSS, "init_fn": NET.init, "optimizer": optimizers.adam, "grid": {"learning_rate": [0.1]}}
            | {"train": (X, LABELS), **sweeping, "execution": "auto", "history_only": False, "on_run": None}
            | {"augment": None, "step_metrics": None, "patience": None, "instruments": None}
            | {"eval_params": None, "shuffle": True},
            names=("hyperparameter", "labels", "targets", "learning_rate"),
        ),
        "jaxmlp.take_step": Call(
            jaxmlp.take_step,
            {"loss_fn": LOSS, "params": PARAMS, "optimizer": adam, "batch": (X, LABELS), "key": None}
            | {"opt_state": None, "start": None, "index": 0},
            names=("labels", "targets"),
        ),
        "jaxmlp.instruments.Instrument": Call(
            instruments.Instrument, {"measure": _norm_of_grads, "every": 2, "settings": (("a", 1),)}
        ),
        "jaxmlp.save": Call(
            jaxmlp.save, {"path": folder / "new", "tree": PARAMS, "metadata": {"a": 1}}, names=("dict keys",)
        ),
        "jaxmlp.load": Call(jaxmlp.load, {"path": saved, "like": PARAMS}),
        "jaxmlp.activations.get": Call(activations.get, {"activation": "relu"}),
        "jaxmlp.activations.steep_sigmoid": Call(activations.steep_sigmoid, {"steepness": 4.0}, lambda f: f(X)),
        "jaxmlp.activations.steep_sigmoid()": Call(activations.steep_sigmoid(4.0), {"x": X}),
        "jaxmlp.losses.get": Call(losses.get, {"loss": "softmax_cross_entropy"}),
        "jaxmlp.losses.l1": Call(losses.l1, {"params": PARAMS}),
        "jaxmlp.losses.l2": Call(losses.l2, {"params": PARAMS}),
        "jaxmlp.losses.targets.check_array": Call(check_array, {"name": "accuracy", "y": LABELS}, keep=("name",)),
        "jaxmlp.losses.targets.check_classes": Call(
            check_classes, {"outputs_shape": (3, 3), "targets": LABELS}, names=("labels", "outputs")
        ),
        "jaxmlp.losses.targets.check_labels": Call(
            check_labels, {"outputs_shape": (3, 3), "y": LABELS}, names=("labels", "outputs", "accuracy")
        ),
        "jaxmlp.losses.targets.check_probabilities": Call(check_probabilities, {"targets": np.array([0.5])}),
        "jaxmlp.losses.targets.check_weight": Call(check_weight, {**WEIGHT, "count": 3}, keep=("count",)),
        "jaxmlp.losses.softmax_cross_entropy": Call(
            losses.softmax_cross_entropy, {"outputs": OUTPUTS, "targets": LABELS, **WEIGHT}, names=("labels",)
        ),
        "jaxmlp.optimizers.get": Call(optimizers.get, {"optimizer": "adam"}),
        "jaxmlp.optimizers.max_norm": Call(optimizers.max_norm, {"limit": 2.0}, _step),
        "jaxmlp.optimizers.adam().init": Call(adam.init, {"params": PARAMS}, positional=("params",)),
        "jaxmlp.optimizers.adam().update": Call(
            adam.update,
            {"grads": GRADS, "state": adam.init(PARAMS), "params": None},
            names=("gradients", "state"),
            keep=("state",),
        ),
        "jaxmlp.augment.distort": Call(
            augment.distort,
            image
            | dict.fromkeys(("rotation", "zoom", "shear", "shift", "elastic", "fill"), 0.1)
            | {"smoothness": 4.0, "interpolation": "bilinear"},
            lambda f: jax.jit(f)(KEY, X),
        ),
        "jaxmlp.augment.distort()": Call(turn, {"key": KEY, "x": X}),
        "jaxmlp.augment.random_crop": Call(
            augment.random_crop, {**image, "padding": 1, "fill": 0.0}, lambda f: jax.jit(f)(KEY, X)
        ),
        "jaxmlp.augment.random_crop()": Call(augment.random_crop((2, 2), 1), {"key": KEY, "x": X}),
        "jaxmlp.augment.random_flip": Call(augment.random_flip, image, lambda f: jax.jit(f)(KEY, X)),
        "jaxmlp.augment.random_flip()": Call(flip, {"key": KEY, "x": X}),
        "jaxmlp.augment.chain": Call(augment.chain, {"augmentation": flip}, positional=("augmentation",)),
        "jaxmlp.augment.chain()": Call(augment.chain(flip, turn), {"key": KEY, "x": X}),
        "jaxmlp.data.split": Call(data.split, {"x": X, "y": LABELS, "count": 1, "seed": 0}),
        "jaxmlp.data.moments": Call(data.moments, {"x": X, "per_feature": True}),
        "jaxmlp.data.standardise": Call(data.standardise, {"x": X, "moments": data.moments(X)}),
        "jaxmlp.data.medians": Call(data.medians, {"x": X}),
        "jaxmlp.data.fill_missing": Call(data.fill_missing, {"x": X, "values": X[0]}),
        "jaxmlp.datasets.load": Call(
            datasets.load, {"name": "xor", "data_dir": None, "mirror": None}, names=("data set",)
        ),
        "jaxmlp.datasets.logic_gate": Call(datasets.logic_gate, {"gate": "xor"}, names=("logic gate",)),
        "jaxmlp.datasets.noisy_line": Call(
            datasets.noisy_line,
            {"seed": 0, "n": 3, "slope": 1.0, "intercept": 1.0, "noise": 1.0, "x_max": 1.0},
        ),
        "jaxmlp.datasets.titanic_table": Call(
            datasets.titanic_table, {"csv": table, "data_dir": None, "mirror": None}, nan=True
        ),
    }
    taken = jaxmlp.take_step(LOSS, PARAMS, adam, (X, LABELS))
    for name in ("example_grads", "example_losses", "hessian_product"):
        found[f"jaxmlp.instruments.{name}"] = Call(getattr(instruments, name), {"step": taken})
    for name in instruments.__all__:
        factory = getattr(instruments, name)
        defaults = {each.name: each.default for each in inspect.signature(factory).parameters.values()}
        if "every" in defaults and name != "Instrument":
            found[f"jaxmlp.instruments.{name}"] = Call(factory, defaults)
    for name, function in activations.ACTIVATIONS.items():
        found[f"jaxmlp.activations.{name}"] = Call(function, {"x": X})
    for name in ("binary_accuracy", "exact_match", "mean_squared_error", "r2"):
        metric, answers = getattr(jaxmlp, name), (np.abs(OUTPUTS) > 1).astype(np.float32)
        found[f"jaxmlp.{name}"] = Call(metric, {"apply": NET.apply})
        found[f"jaxmlp.{name}()"] = Call(metric(NET.apply), {**weighted, "y": answers}, names=("targets",))
    for name in ("binary_cross_entropy", "mean_squared_error", "mean_absolute_error"):
        found[f"jaxmlp.losses.{name}"] = Call(losses.LOSSES[name], targets)
    for module in (optimizers, dialects.torch, dialects.keras, dialects.sklearn, dialects.textbook):
        for name in set(RULES) & set(module.__all__):
            factory = getattr(module, name)
            numbers = dict.fromkeys(inspect.signature(factory).parameters, 0.5)
            found[f"{module.__name__}.{name}"] = Call(factory, numbers, _step)
    return found


def public_callables() -> dict[str, Any]:
    """Return every function and class in the __all__ of a public module, by its first name."""
    modules = ["jaxmlp", *(m.name for m in pkgutil.walk_packages(jaxmlp.__path__, "jaxmlp."))]
    found: dict[int, tuple[str, Any]] = {}
    for name in modules:
        public = not any(part.startswith("_") for part in name.split("."))
        if not public or name.startswith(tuple(NOT_YET)):
            continue
        module = import_module(name)
        for each in getattr(module, "__all__", []):
            thing = getattr(module, each)
            if isinstance(thing, types.FunctionType | type):
                found.setdefault(id(thing), (f"{name}.{each}", thing))
    return dict(found.values())


def _start(net):
    params = net.init(KEY)
    return net.apply(params, jnp.ones((1, params[0].w.shape[0]), jnp.float32), key=KEY)


def _norm_of_grads(step, key, a):
    return sum(jnp.sum(g**2) for g in jax.tree.leaves(step.grads))


def _rate(schedule):
    return schedule(jnp.int32(3))


def _step(optimizer):
    """Take a step from a zero gradient, and one from an ordinary one."""
    more = {"grad_fn": lambda params: params} if "grad_fn" in str(inspect.signature(optimizer.update)) else {}
    zero, one = jnp.zeros((1, 1), jnp.float32), jnp.ones((1, 1), jnp.float32)
    updates, state = optimizer.update(zero, optimizer.init(zero), zero, **more)
    again, state = optimizer.update(one, state, zero, **more)
    return updates, again
