"""Does the gradient through a whole training run tune it better than a search at equal cost?

`jax.grad` differentiates the validation loss after training with respect to the learning rate and the momentum, then
to one learning rate per array of parameters and tenth of training. Both are compared with a random search of the same
cost, the second with a cosine schedule on fresh seeds.
Takes 3 min. Run: python -m experiments.hypergradient --help
"""
