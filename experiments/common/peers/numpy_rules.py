"""Update rules written by hand in NumPy, in place; the equations are those of jaxmlp.optimizers, with its defaults."""

import numpy as np

from experiments.common.peers.settings import Layers


class Rule:
    """Moves layers by their gradients; `slots` arrays for each parameter, of zeros or of `initial`."""

    slots = 0
    initial = 0.0

    def __init__(self, layers: Layers, learning_rate: float):
        """Start with new slots, shaped like the layers."""
        self.learning_rate, self.count = learning_rate, 0
        self._slots = [
            tuple(tuple(np.full_like(p, self.initial) for _ in range(self.slots)) for p in layer) for layer in layers
        ]

    def update(self, layers: Layers, grads: Layers) -> None:
        """Move the layers by one step."""
        self.count += 1
        for layer, layer_grads, layer_slots in zip(layers, grads, self._slots, strict=True):
            for p, g, slots in zip(layer, layer_grads, layer_slots, strict=True):
                self.move(p, g, *slots)

    def move(self, p: np.ndarray, g: np.ndarray, *slots: np.ndarray) -> None:
        """Move one parameter, and its slots."""
        raise NotImplementedError


class SGD(Rule):
    """update = -learning_rate * g."""

    def move(self, p, g):
        """Move one parameter."""
        p -= self.learning_rate * g


class Momentum(Rule):
    """velocity = momentum * velocity + g."""

    slots, momentum = 1, 0.9

    def move(self, p, g, velocity):
        """Move one parameter along its velocity."""
        velocity *= self.momentum
        velocity += g
        p -= self.learning_rate * velocity


class Nesterov(Momentum):
    """update = -learning_rate * (g + momentum * velocity)."""

    def move(self, p, g, velocity):
        """Move one parameter along the velocity one step ahead."""
        velocity *= self.momentum
        velocity += g
        p -= self.learning_rate * (g + self.momentum * velocity)


class AdaGrad(Rule):
    """accumulator = accumulator + g^2."""

    slots, initial, eps = 1, 0.1, 1e-7

    def move(self, p, g, accumulator):
        """Move one parameter by its gradient over the root of the sum of squares."""
        accumulator += g * g
        p -= self.learning_rate * g / np.sqrt(accumulator + self.eps)


class RMSProp(Rule):
    """nu = decay * nu + (1 - decay) * g^2."""

    slots, decay, eps = 1, 0.9, 1e-8

    def move(self, p, g, nu):
        """Move one parameter by its gradient over the root of the mean square."""
        nu *= self.decay
        nu += (1 - self.decay) * g * g
        p -= self.learning_rate * g / np.sqrt(nu + self.eps)


class Adam(Rule):
    """Adam by Kingma and Ba (2015), algorithm 1."""

    slots, b1, b2, eps = 2, 0.9, 0.999, 1e-8

    def move(self, p, g, mu, nu, *nu_max):
        """Move one parameter along its mean gradient over the root of the mean square."""
        mu *= self.b1
        mu += (1 - self.b1) * g
        nu *= self.b2
        nu += (1 - self.b2) * g * g
        corrected = nu / (1 - self.b2**self.count)
        for largest in nu_max:
            corrected = np.maximum(largest, corrected, out=largest)
        p -= self.learning_rate / (1 - self.b1**self.count) * mu / (np.sqrt(corrected) + self.eps)


class AMSGrad(Adam):
    """Adam over the largest mean square so far."""

    slots = 3


RULES: dict[str, type[Rule]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": AdaGrad,
    "rmsprop": RMSProp,
    "adam": Adam,
    "amsgrad": AMSGrad,
}
"""By their names in jaxmlp.optimizers."""
