from experiments.common.command import start
from experiments.throughput.experiment import main

start(main)
