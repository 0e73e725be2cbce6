"""What several commands share: the frame of a command, runs over several seeds, pictures, and error analysis."""

import matplotlib

matplotlib.use("agg")  # commands draw to files and need no screen
