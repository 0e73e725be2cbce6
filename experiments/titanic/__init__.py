"""Who survived the Titanic? A network of 15 hidden units trained by SGD and by Adam, beside a logistic regression.

The published system says neither what it did with missing values nor whether it standardised, so both are tried both
ways. Nor does it say which numbers stood for sex and port, which on raw features moves SGD's result.
Run: python -m experiments.titanic --help
"""
