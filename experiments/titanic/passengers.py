"""Who trains and who is predicted."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxmlp.data import Examples, fill_missing, medians, moments, split, standardise
from jaxmlp.datasets.titanic import TitanicTable

N_TRAIN = 600


class Part(NamedTuple):
    """A division into training and test rows, and the seeds of the runs that train on it."""

    train: Examples
    """Trained on."""

    test: Examples
    """Predicted."""

    seeds: Sequence[int]
    """Of the runs."""


def parts(table: TitanicTable, seeds: int, *, in_order: bool) -> list[Part]:
    """Divide the passengers into 600 to train on and the others to test on.

    Args:
        table: the passengers.
        seeds: runs, >= 1.
        in_order: True: every run trains on the first 600; False: each seed draws its own 600.

    Raises:
        ValueError: a part would be empty or lack one of the two outcomes.
    """
    x, y, _ = table
    if len(y) <= N_TRAIN:
        raise ValueError(
            f"{N_TRAIN} passengers train and the others test, but there are only {len(y)}; give a file with more rows"
        )
    if in_order:
        found = [Part((x[:N_TRAIN], y[:N_TRAIN]), (x[N_TRAIN:], y[N_TRAIN:]), range(seeds))]
    else:
        found = [Part(*split(x, y, count=len(y) - N_TRAIN, seed=seed), [seed]) for seed in range(seeds)]
    for part in found:
        for name, (_, labels) in (("training", part.train), ("test", part.test)):
            if len(np.unique(labels)) < 2:
                raise ValueError(f"all {len(labels)} {name} passengers have one outcome; give a file with both in each")
    return found


def prepared(part: Part, *, standardised: bool) -> Part:
    """Fill missing values with the medians of the training rows; standardise by their moments if asked to."""

    def prepare(x):
        x = fill_missing(x, values)
        return standardise(x, known) if standardised else x

    values = medians(part.train[0])
    known = moments(fill_missing(part.train[0], values))
    return part._replace(train=(prepare(part.train[0]), part.train[1]), test=(prepare(part.test[0]), part.test[1]))


def tuning_part(part: Part, seed: int) -> Part:
    """Divide the training rows of a part into rows to tune on and rows to judge by; the test rows take no part.

    Args:
        part: as parts returns it.
        seed: of the division.
    """
    train, judge = split(*part.train, count=N_TRAIN // 5, seed=seed)
    return Part(train, judge, part.seeds)
