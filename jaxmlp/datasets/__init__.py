"""Named data sets as NumPy arrays.

| name | examples | comes from |
| :-- | :-- | :-- |
| `digits` | 1,797 images of 8 x 8 pixels, 10 classes | scikit-learn's wheel |
| `mnist`, `fashion_mnist` | 70,000 images of 28 x 28 pixels, 10 classes | disk, else the network |
| `titanic` | 1,309 passengers with 7 features, 2 classes | disk, else the network |
| `xor`, `and`, `or`, ... | all 16 Boolean functions of two inputs | made here |
| `noisy_line` | 300 points near a line | made here |

`digits` and `titanic` have no official split. Theirs is fixed: scikit-learn's train_test_split with test_size 0.2,
stratified by label, random_state 0. The 43 writers of `digits` cannot be told apart in its file, so each of them is in
both parts, and a test accuracy says little about a new writer. The missing values of `titanic` (263 ages, 1 fare and 2
ports) are filled with the median of the training part; nothing is standardised.

`mnist`, `fashion_mnist` and `titanic` are read from the first place that has them, always with the same examples in the
same order:

1. a directory prepared by tensorflow-datasets (TFDS), data_dir/NAME/VERSION, in its format array_record;
2. the original files in data_dir/NAME or data_dir: for images the four IDX files, gzipped or not (also where Debian
   installs them), for titanic OpenML's phpMYEkMl.csv;
3. the network. Files are checked against the checksums that TFDS registers. Images are then prepared as in 1, by TFDS
   but without TensorFlow.

Decoded images are kept in the user's cache folder, $XDG_CACHE_HOME/jaxmlp.
"""

from jaxmlp.datasets.catalog import NAMES, load
from jaxmlp.datasets.errors import DatasetUnavailableError
from jaxmlp.datasets.synthetic import logic_gate, noisy_line
from jaxmlp.datasets.titanic import titanic_table

__docformat__ = "google"
__all__ = ["NAMES", "DatasetUnavailableError", "load", "logic_gate", "noisy_line", "titanic_table"]
