from experiments.common.command import start
from experiments.estimators.experiment import main

start(main)
