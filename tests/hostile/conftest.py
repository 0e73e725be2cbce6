"""The long part runs only when it is asked for, and says how many calls it made of what."""

from collections import Counter, defaultdict

import pytest

COUNTS: defaultdict[str, Counter] = defaultdict(Counter)
"""Callable -> verdict -> number of calls."""


def pytest_collection_modifyitems(config, items):
    """Leave the long part out unless the marker's name is in -m."""
    if "hostile" in config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("hostile")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture
def counted():
    """Return the counter of verdicts."""
    return COUNTS


def pytest_terminal_summary(terminalreporter, config):
    """Print the verdicts of each callable after a long run."""
    if "hostile" not in config.option.markexpr or not COUNTS:
        return
    verdicts = sorted({verdict for count in COUNTS.values() for verdict in count})
    terminalreporter.section("hostile calls")
    for name, count in sorted(COUNTS.items()):
        terminalreporter.write_line(
            f"{sum(count.values()):6}  {name:45} " + ", ".join(f"{v} {count[v]}" for v in verdicts)
        )
    total = Counter()
    for count in COUNTS.values():
        total.update(count)
    terminalreporter.write_line(f"{sum(total.values()):6}  in all: " + ", ".join(f"{v} {total[v]}" for v in verdicts))
