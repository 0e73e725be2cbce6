"""How does each optimizer move? Its path over four surfaces of two parameters, at its best learning rate.

Every optimizer starts at the same point, nothing is clipped, and the learning rate is the one of a stated grid with
which it soonest comes within 1e-6 of the minimum, to stay. Run: python -m experiments.landscapes --help
"""
