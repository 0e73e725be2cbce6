"""Compiled programs kept on disk, so that a command compiles nothing the second time."""

import os

import jax

from jaxmlp.datasets.cache import user_folder


def keep_compiled() -> None:
    """Let JAX keep compiled programs in the user's cache folder, unless the user named a place or there is none.

    Called by commands, never on import: a library does not decide where its user's programs are kept.
    """
    folder = user_folder()
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or folder is None:
        return
    try:
        (folder / "xla").mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return  # done without where nothing can be kept
    jax.config.update("jax_compilation_cache_dir", str(folder / "xla"))
    # By default only programs that took a second or more are kept; here even short ones come by the dozen.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
