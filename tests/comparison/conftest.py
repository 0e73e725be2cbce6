"""What makes the commands cheap to run where only their plumbing is tested."""

import functools

import jax
import pytest
from matplotlib.figure import Figure


@pytest.fixture(scope="module")
def rough():
    """Compile without XLA's optimisations, and draw with few dots: for runs of which no last digit matters.

    What was compiled so is forgotten afterwards, since later tests may compare bit by bit.
    """
    savefig = Figure.savefig
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", functools.partialmethod(_with_few_dots, savefig))
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)
        jax.clear_caches()


def _with_few_dots(figure, savefig, path, *, dpi):
    assert dpi == 150  # what the commands ask for
    savefig(figure, path, dpi=30)
