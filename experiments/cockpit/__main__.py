from experiments.cockpit.experiment import main
from experiments.common.command import start

start(main)
