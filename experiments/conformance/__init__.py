"""Do the rules compute what optax, PyTorch, Keras and scikit-learn compute?

Every rule of every dialect runs beside the real library, step by step in float64, on random gradients and on inputs
that show how far the libraries are apart. Exit status 1 means that a rule differs from its library.
Takes 25 s. Run: python -m experiments.conformance --help
"""
