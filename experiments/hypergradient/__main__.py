from experiments.common.command import start
from experiments.hypergradient.experiment import main

start(main)
