from experiments.common.command import start
from experiments.mnist_deep.experiment import main

start(main)
