"""Which networks learn XOR, and the other Boolean functions of two inputs, how often out of 100 seeds, and why not.

Perceptrons with given weights compute AND and OR; without a hidden layer XOR is out of reach. Networks of one hidden
layer are trained from many seeds, for every activation, width, initial weights, form of output and learning rate: a
success is a run that has all four rows right at its end. Run: python -m experiments.logic_gates --help
"""
