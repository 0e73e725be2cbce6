from experiments.common.command import start
from experiments.logic_gates.experiment import main

start(main)
