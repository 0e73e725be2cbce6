"""The network in PyTorch, eager or compiled."""

import importlib
import itertools
from typing import Any

import numpy as np

from experiments.common.peers.settings import Layers, Settings


class Trainer:
    """Trains on a GPU if PyTorch finds one."""

    def __init__(self, settings: Settings, x: np.ndarray, y: np.ndarray, *, compiled: bool = False):
        """Build the network and move the examples.

        Args:
            settings: of the network and its training.
            x: examples, (n, features), float32.
            y: labels, (n,).
            compiled: compile the model and the optimizer's step by torch.compile.
        """
        self._torch: Any = importlib.import_module("torch")
        nn = self._torch.nn
        device = "cuda" if self._torch.cuda.is_available() else "cpu"
        self._settings = settings
        linear = [nn.Linear(*sizes, device=device) for sizes in itertools.pairwise(settings.layer_sizes)]
        self.linear = linear
        self.model = nn.Sequential(*[part for layer in linear for part in (layer, nn.ReLU())][:-1])
        self._forward = self._torch.compile(self.model) if compiled else self.model
        rule = {"sgd": self._torch.optim.SGD, "adam": self._torch.optim.Adam}[settings.rule]
        # As a tensor, another learning rate compiles nothing.
        rate = self._torch.tensor(settings.learning_rate) if compiled else settings.learning_rate
        self._optimizer = rule(self.model.parameters(), lr=rate)
        self._update = self._torch.compile(self._optimizer.step) if compiled else self._optimizer.step
        self._x, self._y = self._torch.from_numpy(x).to(device), self._torch.from_numpy(y).long().to(device)

    def reset(self, layers: Layers, seed: int, learning_rate: float | None = None) -> None:
        """Start again from these weights."""
        self._torch.manual_seed(seed)
        with self._torch.no_grad():
            for linear, (w, b) in zip(self.linear, layers, strict=True):
                linear.weight.copy_(self._torch.from_numpy(w.T.copy()))
                linear.bias.copy_(self._torch.from_numpy(b))
        restart(self._optimizer, self._settings.learning_rate if learning_rate is None else learning_rate)

    def train(self, epochs: int, *, shuffle: bool = True) -> float:
        """Train, and return the mean loss of the last epoch."""
        losses, sizes, n = [], [], len(self._x)
        for _ in range(epochs):
            order = self._torch.randperm(n) if shuffle else self._torch.arange(n)
            # Indexed by hand, since a DataLoader collates image by image and is several times slower.
            batches = order.to(self._x.device).split(self._settings.batch_size)
            losses = [self._step(self._x[rows], self._y[rows]) for rows in batches]
            sizes = [len(rows) for rows in batches]
        losses = self._torch.stack(losses).double().cpu()
        return float(losses @ self._torch.tensor(sizes).double()) / n

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the most likely class of each row of x."""
        with self._torch.no_grad():
            return self.model(self._torch.from_numpy(x).to(self._x.device)).argmax(dim=1).cpu().numpy()

    def _step(self, x, y):
        self._optimizer.zero_grad()
        loss = self._torch.nn.functional.cross_entropy(self._forward(x), y)
        loss.backward()
        self._update()
        return loss.detach()


def restart(optimizer: Any, learning_rate: float) -> None:
    """Give an optimizer back its first state, in place, so that its compiled step stays valid."""
    for group in optimizer.param_groups:
        if hasattr(group["lr"], "fill_"):
            group["lr"].fill_(learning_rate)
        else:
            group["lr"] = learning_rate
        for p in group["params"]:
            for name, value in optimizer.state.get(p, {}).items():
                if value is not None:
                    value.fill_(0 if name == "step" else group.get("initial_accumulator_value", 0))
