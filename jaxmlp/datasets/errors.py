"""The one error for data that cannot be had, and how it is worded."""

from pathlib import Path

# The way out of a disk that is full or may not be written to.
ANOTHER_FOLDER = (
    "make room and allow writing there, or name another folder by data_dir=... or the environment variable"
    " TFDS_DATA_DIR"
)


class DatasetUnavailableError(OSError):
    """A known data set cannot be had now: the network, the disk or a file is at fault, not the call.

    Its message names the file or address, the reason and the way out.
    """


def unavailable(where: str | Path, reason: object, way_out: str) -> DatasetUnavailableError:
    """Return the error for where, a file, folder or address; reason may be the exception that was met."""
    if isinstance(reason, OSError) and reason.strerror:
        reason = reason.strerror  # without the errno and the path, which str() would repeat
    elif isinstance(reason, BaseException):
        reason = f"{type(reason).__name__}: {reason}".rstrip(": ")
    return DatasetUnavailableError(f"{where}: {str(reason).rstrip('.')}. Way out: {way_out}")
