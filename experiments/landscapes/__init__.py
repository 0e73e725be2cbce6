"""How does each optimizer move over four surfaces, at its best learning rate?

The surfaces have two parameters. Every optimizer starts at the same point, and nothing is clipped. Its learning rate is
the one of a stated grid with which it comes within 1e-6 of the minimum soonest, and stays.
Takes 20 s. Run: python -m experiments.landscapes --help
"""
