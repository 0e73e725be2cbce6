"""A straight line by gradient descent, y = 1837.5 x + 14376.52 + uniform(0, 10000), and what 50 steps make of it.

The published result, 1933.30 x + 10.81, is far from the least-squares line. Here are that line, why 50 steps end
where they do, and every optimizer with x as it is and with x standardised. Every optimizer starts at (0, 0) and takes
the learning rate of a stated grid whose worst loss in the last ten steps is least. Run:
python -m experiments.linear_regression --help
"""
