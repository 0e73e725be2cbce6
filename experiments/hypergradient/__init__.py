"""Does the gradient through a whole training run tune it better than a search at equal cost?

`jax.grad` differentiates the validation loss after training with respect to the learning rate and the momentum, then
to both per layer and tenth of training. The first is compared with a random search of the same cost, the second with a
cosine schedule that is searched at the cost of both descents.
Takes 2 min. Run: python -m experiments.hypergradient --help
"""
