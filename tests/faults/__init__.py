"""Inject faults into everything that writes files, and say what was lost or wrong: nothing, or the exit status is 1.

Each write is done in a process of its own, which is hit at every point of the writing code, then at random moments by
signals. After each fault the file must be the old one or the new one, whole; what the messages say is done, and must
lead to the new one, without litter. Damaged files must be refused, or read again from their source.

    python -m tests.faults                            # 3,000 kills and every point
    python -m tests.faults --kills 100 --writers save
    python -m tests.faults --writers --servers        # only bad servers, and a folder of data
    python -m tests.faults --writers --commands 20    # only whole commands, killed and side by side; minutes
"""
