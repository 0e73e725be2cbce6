"""784-512-128-64-10 on MNIST by Adam: how fast is it beside NumPy and other libraries?

Every system trains the same network with the same settings on the same machine, in turns, each run by itself. Systems
that are not installed are reported and left out. Takes 4 min. Run: python -m experiments.mnist_deep --help
"""
