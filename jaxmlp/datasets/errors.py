"""The error for a data set that cannot be read or downloaded."""

from pathlib import Path

# What helps where a disk is full or read-only.
ANOTHER_FOLDER = (
    "make room and allow writing there, or give another folder by data_dir=... or the environment variable"
    " TFDS_DATA_DIR"
)


class DatasetUnavailableError(OSError):
    """A known data set cannot be loaded now because of the network, the disk or a file, not because of the call.

    The message names the file or address, the reason and what to do.
    """


def unavailable(where: str | Path, reason: object, remedy: str) -> DatasetUnavailableError:
    """Return the error about where, a file, folder or address; reason may be the exception that was caught."""
    if isinstance(reason, OSError) and reason.strerror:
        reason = reason.strerror  # without the errno and the path, which str() would repeat
    elif isinstance(reason, BaseException):
        reason = f"{type(reason).__name__}: {reason}".rstrip(": ")
    return DatasetUnavailableError(f"{where}: {str(reason).rstrip('.')}. To fix this: {remedy}")
