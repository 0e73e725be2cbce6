"""What several commands share: the frame of a command, runs over several seeds, pictures, and error analysis."""
