"""How fast are fit and sweep beside NumPy by hand and six other libraries, and beside the machine's own limit?

Every system trains the same networks from the same weights in a process of its own, in turns. Systems that are not
installed are named and left out. Takes 25 min. Run: python -m experiments.throughput --help
"""
