"""Runnable experiments over jaxmlp: python -m experiments.NAME."""
