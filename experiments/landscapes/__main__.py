from experiments.common.command import start
from experiments.landscapes.experiment import main

start(main)
