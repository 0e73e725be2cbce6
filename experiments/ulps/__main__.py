from experiments.common.command import start
from experiments.ulps.experiment import main

start(main)
