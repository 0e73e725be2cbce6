"""Moving pictures: a figure that is drawn again for every frame, kept as a GIF."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.animation import PillowWriter
from matplotlib.figure import Figure

from jaxmlp.comparison import drawing

__all__ = ["Movie", "save"]


class Movie(NamedTuple):
    """A figure, and how it changes."""

    figure: Figure
    """With a canvas."""

    draw: Callable[[int], None]
    """Changes the figure to what a frame shows."""

    frames: int
    """How many there are, the first being 0."""

    frames_per_second: int = 8
    """Speed."""

    seconds_at_end: float = 2.0
    """How long the last frame stays."""

    def savefig(self, path: Path, *, dpi: float) -> None:
        """Write the GIF, at a smaller scale than a still picture."""
        writer = PillowWriter(fps=self.frames_per_second)
        rest = round(self.seconds_at_end * self.frames_per_second)
        with writer.saving(self.figure, str(path), dpi * 0.6):
            for frame in (*range(self.frames), *[self.frames - 1] * rest):
                self.draw(frame)
                writer.grab_frame()


def save(movie: Movie, path: Path) -> None:
    """Write a movie to a file that ends in .gif, whole or not at all, as drawing.save writes a picture."""
    picture: Any = movie
    drawing.save(picture, path)
