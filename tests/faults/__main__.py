"""The command line, and the table fault x moment x outcome."""

import argparse
import contextlib
import random
import signal
import sys
import warnings
from collections import Counter

import tests.faults
from tests.faults import commands, points
from tests.faults.writers import WRITERS, prepare

_DAMAGED = {"save", "download", "cache of images", "comparison"}  # the others have no checksum of their own


def main():
    """Inject what the options ask for; return 1 if anything was lost or wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=tests.faults.__doc__.splitlines()[0])
    add = parser.add_argument
    add("--kills", type=int, default=3000, help="signals at random moments, over all writers (default: 3000)")
    add("--writers", nargs="*", choices=WRITERS, default=list(WRITERS))
    add("--moments", nargs="+", choices=("point", "random", "together", "damage"), default=[])
    add("--damage", type=int, default=200, help="cuts and flipped bits per writer, each (default: 200)")
    add("--servers", action="store_true", help="also servers that answer badly, and a folder of data")
    add("--commands", type=int, default=0, metavar="N", help="also whole commands, killed N times and continued")
    add("--processes", type=int, nargs="+", default=[2, 3, 8], help="processes at once (default: 2 3 8)")
    add("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without it
    warnings.simplefilter("ignore")  # JAX warns of every fork, and has not been started here
    generator, table = random.Random(options.seed), _Table()
    if options.servers:
        _servers_and_data(options, table, generator)
    if options.commands:
        for name, (words, other, resume) in commands.COMMANDS.items():
            with commands.undisturbed(words, other) as folders:
                with table.row(name, "signals, then --resume", "random") as counts:
                    commands.killed(folders, words, resume, options.commands, counts, generator)
                for processes in options.processes:
                    with table.row(name, f"{processes} processes, one folder and cache", "at once") as counts:
                        commands.together(folders, words, other, processes, counts)
    prepare()
    for name in options.writers:
        _attack(name, WRITERS[name], options, table, generator)
    wrong = sum(count for outcome, count in table.total.items() if outcome.startswith("WRONG"))
    print(f"{table.total.total():,} outcomes, {wrong} lost or wrong")
    return 1 if wrong else 0


def _attack(name, writer, options, table, generator):
    moments = options.moments or ("point", "random", "together", "damage")
    for fault in (*points.SIGNALS, *points.ERRORS, *points.SECONDS) if "point" in moments else ():
        with table.row(name, fault, "every point") as counts:
            points.at_every_point(writer, fault, counts)
    for fault in points.SIGNALS if "random" in moments else ():
        with table.row(name, fault, "random") as counts:
            each = -(-options.kills // (len(options.writers) * len(points.SIGNALS)))
            points.at_random(writer, fault, each, counts, generator)
    for processes in options.processes if "together" in moments else ():
        with table.row(name, f"{processes} processes", "at once") as counts:
            points.side_by_side(writer, processes, counts)
    if "damage" in moments and name in _DAMAGED:
        with table.row(name, "cut and flipped", "random bytes") as counts:
            points.damaged(writer, options.damage, counts, generator)


def _servers_and_data(options, table, generator):
    for name, answer in commands.ANSWERS.items():
        with table.row("download", f"server: {name}", "whole transfer") as counts:
            commands.served(answer, counts)
    with commands.data_folder() as load:
        for fault in points.SIGNALS:
            with table.row("data folder", fault, "random") as counts:
                commands.data_killed(load, fault, 20, counts, generator)
        for processes in options.processes:
            with table.row("data folder", f"{processes} processes", "at once") as counts:
                commands.data_together(load, processes, counts)


class _Table:
    """Rows that are printed as soon as they are full."""

    def __init__(self):
        self.total = Counter()
        print(f"{'writer':16} {'fault':44} {'moment':14} {'faults':>6}  outcome", flush=True)

    @contextlib.contextmanager
    def row(self, writer, fault, moment):
        """Yield a counter of outcomes."""
        counts = Counter()
        yield counts
        text = ", ".join(f"{outcome} {count}" for outcome, count in sorted(counts.items()))
        print(f"{writer:16} {fault:44} {moment:14} {counts.total():6}  {text}", flush=True)
        self.total.update(counts)


if __name__ == "__main__":
    sys.exit(main())
