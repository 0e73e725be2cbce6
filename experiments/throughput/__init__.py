"""How fast are fit and sweep beside other libraries, and beside the machine's own limit?

jaxmlp, NumPy by hand and six libraries train the same networks from the same weights, each in a process of its own, in
turns. Those that are not installed are named and left out. Takes 25 min. Run: python -m experiments.throughput --help
"""
