from experiments.common.command import start
from experiments.linear_regression.experiment import main

start(main)
