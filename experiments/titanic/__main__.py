from experiments.common.command import start
from experiments.titanic.experiment import main

start(main)
