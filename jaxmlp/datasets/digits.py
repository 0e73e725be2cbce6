"""scikit-learn's handwritten digits, which are part of its wheel."""

from typing import Any

import numpy as np

from jaxmlp._checks import need
from jaxmlp.data import Dataset

_LARGEST_PIXEL = 16
_TEST_FRACTION = 0.2
_SPLIT_SEED = 0


def load_digits() -> Dataset:
    """Return the 1,797 images of 8 x 8 pixels, divided by 16: 1,437 for training and 360 for testing.

    Source:
        Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI; its test part.
    """
    need("data", "sklearn")
    from sklearn.datasets import load_digits as sklearn_digits
    from sklearn.model_selection import train_test_split

    loaded: Any = sklearn_digits(return_X_y=True)  # arrays, though its type has data frames as well
    pixels, labels = loaded
    x = (pixels / _LARGEST_PIXEL).astype(np.float32)
    y = labels.astype(np.int32)
    train, test = train_test_split(np.arange(len(y)), test_size=_TEST_FRACTION, stratify=y, random_state=_SPLIT_SEED)
    return Dataset("digits", (x[train], y[train]), (x[test], y[test]), (8, 8), tuple("0123456789"))
