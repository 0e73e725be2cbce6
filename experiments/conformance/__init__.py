"""Is each rule here what PyTorch, Keras, scikit-learn and optax compute, and how far do those differ among themselves?

Runs every rule of every dialect beside the real library, step by step in float64, on random gradients and on inputs
that tell the libraries apart. Run: python -m experiments.conformance --help
"""
