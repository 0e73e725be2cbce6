"""784-512-128-64-10 on MNIST by Adam: how fast, and how good, beside NumPy by hand and other libraries?

Every system trains the same network with the same settings on the same machine, in turns, each run alone. Those that
are not installed are named and left out. Run: python -m experiments.mnist_deep --help
"""
