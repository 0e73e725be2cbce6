"""Which networks learn XOR and the other Boolean functions, how often, and why not?

Perceptrons with given weights compute AND and OR; without a hidden layer XOR is out of reach. Networks with one hidden
layer are trained from many seeds, for every activation, width, initial weights, form of output and learning rate. A run
succeeds if it has all four rows right at its end. Takes 30 s. Run: python -m experiments.logic_gates --help
"""
