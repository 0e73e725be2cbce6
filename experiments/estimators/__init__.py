"""MLPClassifier and MLPRegressor beside scikit-learn's: as good, and how much faster?

Both libraries get the same random states, so that weights, batches and folds are the same, and take turns.
Takes 25 min. Run: python -m experiments.estimators --help
"""
