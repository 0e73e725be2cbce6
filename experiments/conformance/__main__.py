from experiments.common.command import start
from experiments.conformance.experiment import main

start(main)
