"""Who survived the Titanic? SGD and Adam beside a logistic regression.

The published system says neither how it handled missing values nor whether it standardised, so both are tried both
ways. Nor does it say which numbers stand for sex and port, which on raw features changes the result of SGD.
SGD is also trained at a rate tuned on training passengers, and the network in Keras where it is installed.
Takes 3.5 min. Run: python -m experiments.titanic --help
"""
