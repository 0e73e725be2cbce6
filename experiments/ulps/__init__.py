"""How many units in the last place is every function away from 50 digits?

The same numbers are given to jaxmlp and, where installed, to jax.nn, optax and PyTorch, in float32, bfloat16 and
float64. The truth is mpmath's, with 50 digits.
Takes 1 min. Run: python -m experiments.ulps --help
"""
