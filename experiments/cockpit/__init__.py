"""What happens inside a run: step sizes, gradients and curvature while it trains?

Instruments are measured at intervals during training and drawn on one page in three columns. The default compares
optimizers; `--stories` shows three faults beside a healthy run (a learning rate too high, vanishing gradients, raw
inputs) and the edge of stability, and `--measure` lists every instrument with its error and its cost.
Takes 1 min. Run: python -m experiments.cockpit --help
"""
