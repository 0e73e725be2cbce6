"""What do 50 steps of gradient descent make of a straight line?

The data are y = 1837.5 x + 14376.52 + uniform(0, 10000). The published result after 50 steps, 1933.30 x + 10.81, is far
from the least-squares line. This command shows that line, why 50 steps end where they do, and every optimizer with x as
it is and with x standardised. Every optimizer starts at (0, 0) and uses the learning rate of a stated grid whose worst
loss in the last ten steps is lowest. Takes 5 s. Run: python -m experiments.linear_regression --help
"""
