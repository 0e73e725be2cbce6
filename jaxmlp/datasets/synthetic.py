"""Data sets that are computed: the Boolean functions of two inputs, and a noisy line."""

import math

import numpy as np

from jaxmlp._checks import LARGEST_SEED, check_choice, check_count, one_number, shown
from jaxmlp.data import Dataset, Examples

# The outputs for the inputs (0, 0), (0, 1), (1, 0), (1, 1): all 16 Boolean functions of two inputs.
LOGIC_GATES = {
    "false": "0000",
    "and": "0001",
    "first_and_not_second": "0010",
    "first": "0011",
    "second_and_not_first": "0100",
    "second": "0101",
    "xor": "0110",
    "or": "0111",
    "nor": "1000",
    "xnor": "1001",
    "not_second": "1010",
    "second_implies_first": "1011",
    "not_first": "1100",
    "first_implies_second": "1101",
    "nand": "1110",
    "true": "1111",
}


def logic_gate(gate: str) -> Dataset:
    """Return all four rows of a Boolean function of two inputs, both as train and as test.

    Args:
        gate: a name such as "xor", or the outputs for (0, 0), (0, 1), (1, 0), (1, 1), such as "0110".

    Returns:
        Dataset with x (4, 2) float32 and y (4,) int32, both of zeros and ones.

    Raises:
        ValueError: the gate is unknown; the message lists all names.

    Example:
        >>> import jaxmlp
        >>> print(jaxmlp.datasets.logic_gate("nand").train[1])
        [1 1 1 0]
    """
    if not isinstance(gate, str):
        raise TypeError(f"gate must be a name or four outputs such as '0110', got {shown(gate)}")
    names = {outputs: name for name, outputs in LOGIC_GATES.items()}
    name = check_choice("logic gate", names.get(gate, gate), LOGIC_GATES)
    x = np.array([(0, 0), (0, 1), (1, 0), (1, 1)], dtype=np.float32)
    y = np.array([int(output) for output in LOGIC_GATES[name]], dtype=np.int32)
    return Dataset(name, (x, y), (x.copy(), y.copy()), None, ("false", "true"))


def noisy_line(
    seed: int = 0,
    *,
    n: int = 300,
    slope: float = 1837.5,
    intercept: float = 14376.52,
    noise: float = 10_000.0,
    x_max: float = 300.0,
) -> Dataset:
    """Draw n training and n test examples of a line with noise.

        y = slope * x + intercept + uniform(0, noise)

    The noise is not centred, so least squares finds intercept + noise / 2.

    Args:
        seed: of NumPy's default generator.
        n: number of examples in each part, >= 1.
        slope: of the line.
        intercept: of the line.
        noise: width of the uniform noise, in units of y, >= 0.
        x_max: x is uniform in [0, x_max), > 0. The published fit of this line, 1933.30 x + 10.81, is what gradient
            descent reaches early when x goes up to about 300: the line through the origin, whose slope is too large
            by (intercept + noise / 2) * 1.5 / x_max = 97.

    Returns:
        Dataset with x (n, 1) and y (n,), both float32.

    Raises:
        ValueError: an argument is out of its range, or y would overflow float32.
        TypeError: seed or n is not an integer, or another argument not a number.

    Example:
        >>> import jaxmlp
        >>> x, y = jaxmlp.datasets.noisy_line(seed=0, n=5, noise=0.0).train
        >>> print(x.shape, abs(y - (1837.5 * x[:, 0] + 14376.52)).max() < 0.1)
        (5, 1) True
    """
    n = check_count("n", n, most=10_000_000)
    seed = check_count("seed", seed, least=0, most=LARGEST_SEED)
    for name, value in (("slope", slope), ("intercept", intercept)):
        one_number(name, value, -math.inf, open_low=True)
    one_number("noise", noise, 0)
    one_number("x_max", x_max, 0, open_low=True)
    largest = abs(slope) * x_max + abs(intercept) + noise
    if largest > np.finfo(np.float32).max:
        raise ValueError(
            f"slope, intercept, noise and x_max must keep y in float32, below 3.4e38; got y up to {largest:g}"
        )
    generator = np.random.default_rng(seed)

    def draw() -> Examples:
        x = generator.uniform(0, x_max, size=(n, 1))
        y = slope * x[:, 0] + intercept + generator.uniform(0, abs(noise), size=n)  # NumPy refuses -0.0
        return x.astype(np.float32), y.astype(np.float32)

    return Dataset("noisy_line", draw(), draw(), None, ())
