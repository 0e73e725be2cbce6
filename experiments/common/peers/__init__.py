"""One network trained by several libraries, each as its own documentation advises; one module a library.

Every module has a class Trainer, imports its library only when a Trainer is made, and trains on the device that the
library takes by default:

    trainer = Trainer(settings, x, y)       the examples are moved to the device
    trainer.reset(layers, seed)             from these weights, with a new optimizer; seed: of the order of the examples
    loss = trainer.train(epochs)            passes over shuffled examples -> mean training loss of the last one
    loss = trainer.train(epochs, shuffle=False)

A loss comes back when the device has finished.
"""
