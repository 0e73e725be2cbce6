"""Objects by reference: what "adam", "optax.lion" or "my_rules.py:sign_momentum" names, and where it came from."""

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxmlp._checks import shown

__docformat__ = "google"
__all__ = ["Loaded", "Origin", "load", "origin_of"]

_INSTALLED = ("optax", "jaxmlp")  # whose references are written with dots alone


class Origin(NamedTuple):
    """Where an object came from."""

    module: str | None
    """Its module; None for an object of a file."""

    version: str | None
    """Of the package; None for a file, and where it has none."""

    sha256: str | None
    """Of the file that was named, or of the module's own file; None for jaxmlp and optax, which their version tells."""


class Loaded(NamedTuple):
    """What a reference names."""

    value: Any
    """The object."""

    name: str
    """A short name for it: its last part where that is none of ours."""

    origin: Origin
    """Where it came from."""


def load(reference: str, kind: str, known: Mapping[str, Any]) -> Loaded:
    """Return what a reference names.

    Args:
        reference: a name in known; a dotted name of optax, of jaxmlp or of jaxmlp.dialects ("dialects.torch.adam");
            "FILE.py:NAME"; or "package.module:NAME".
        kind: what it should be, for messages, e.g. "optimizer".
        known: the names of our own.

    Raises:
        ValueError: there is no such thing, or its file raises an exception.

    Example:
        >>> load("optax.lion", "optimizer", {}).name, load("dialects.torch.adam", "optimizer", {}).name
        ('lion', 'torch.adam')
    """
    if reference in known:
        return Loaded(known[reference], reference, origin_of(known[reference]))
    where, colon, name = reference.rpartition(":")
    if colon and where and name.isidentifier():
        value, origin = _of_file(where, name) if where.endswith(".py") else _of_module(where, name)
        return Loaded(value, name, origin)
    first, dot, rest = reference.partition(".")
    if dot and not colon and first in ("dialects", *_INSTALLED):
        value, origin = _dotted(f"jaxmlp.{reference}" if first == "dialects" else reference)
        last = reference.rpartition(".")[2]
        return Loaded(value, rest if first == "dialects" else reference if last in known else last, origin)
    near = difflib.get_close_matches(reference.lower(), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"unknown {kind} {shown(reference)}; known: {', '.join(sorted(known))}.{hint} Others are named by a reference: "
        f"{'optax.lion, dialects.torch.adam, ' if kind == 'optimizer' else ''}my_file.py:my_name or "
        "my_package.module:my_name"
    )


def origin_of(value: Any) -> Origin:
    """Return where an object that is already loaded came from, as far as Python knows.

    Example:
        >>> import optax
        >>> origin_of(optax.lion).sha256 is None
        True
    """
    name = getattr(value, "__module__", None)
    module = sys.modules.get(name) if isinstance(name, str) else None
    file = getattr(module, "__file__", None)
    return Origin(name if isinstance(name, str) else None, _version(name), None if _told(name) else _sha256(file))


def _of_file(where, name):
    path = Path(where).expanduser()
    if not path.is_file():
        raise ValueError(f"there is no file {where}, which {shown(f'{where}:{name}')} names")
    digest = _sha256(path)
    # One module for each content, so that what is edited is loaded again.
    called = f"jaxmlp_reference_{hashlib.sha256(f'{path.resolve()} {digest}'.encode()).hexdigest()[:16]}"
    if called not in sys.modules:
        specification = importlib.util.spec_from_file_location(called, path.resolve())
        if specification is None or specification.loader is None:
            raise ValueError(f"{where} cannot be loaded as Python")
        module = importlib.util.module_from_spec(specification)
        sys.modules[called] = module
        folder = str(path.resolve().parent)
        sys.path.insert(0, folder)  # as python FILE does
        try:
            specification.loader.exec_module(module)
        except Exception as error:
            del sys.modules[called]
            raise ValueError(f"{where} raises {_in_short(error, str(path.resolve()))}") from error
        finally:
            if folder in sys.path:
                sys.path.remove(folder)
    return _attribute(sys.modules[called], name, where), Origin(None, None, digest)


def _of_module(where, name):
    try:
        module = importlib.import_module(where)
    except Exception as error:
        hint = " (a file is named FILE.py:NAME)" if isinstance(error, ModuleNotFoundError) else ""
        raise ValueError(f"the module {where} cannot be imported: {_in_short(error)}{hint}") from error
    told = _told(where)
    origin = Origin(where, _version(where), None if told else _sha256(getattr(module, "__file__", None)))
    return _attribute(module, name, where), origin


def _dotted(reference):
    """Import the longest part that is a module, and take the attributes from there."""
    module, *attributes = reference.split(".")
    value = importlib.import_module(module)
    for attribute in attributes:
        module = f"{module}.{attribute}"
        if not hasattr(value, attribute) and _is_module(module):
            value = importlib.import_module(module)
        else:
            value = _attribute(value, attribute, module.rpartition(".")[0])
    owner = reference.rpartition(".")[0]
    return value, Origin(owner, _version(owner), None)


def _is_module(name):
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _attribute(owner, name, where):
    if hasattr(owner, name):
        return getattr(owner, name)
    public = sorted(n for n, value in vars(owner).items() if not n.startswith("_") and _is_own(value, owner))
    near = difflib.get_close_matches(name, public, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(public[:10])}" if public else ""
    raise ValueError(f"{where} has no {name!r}{hint}")


def _is_own(value, owner):
    """Whether a value may be meant: no module, and no function or class that the owner imports from elsewhere."""
    if inspect.ismodule(value) or isinstance(value, str | int | float):
        return False
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return True
    packages = [str(getattr(one, name, "")).split(".")[0] for one, name in ((value, "__module__"), (owner, "__name__"))]
    return packages[0] == packages[1]


def _in_short(error, path=None):
    """The exception in one line, with the line of the file that raised it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if path and frame.filename == path]
    lines += [error.lineno] if isinstance(error, SyntaxError) and error.lineno else []
    text = (error.msg if isinstance(error, SyntaxError) else str(error)).partition("\n")[0]
    return f"{type(error).__name__}: {text}" + (f" (line {lines[-1]})" if lines else "")


def _told(module):
    return isinstance(module, str) and module.split(".")[0] in _INSTALLED


def _version(module):
    if not isinstance(module, str):
        return None
    package = module.split(".")[0]
    try:
        return importlib.metadata.version(package)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        version = getattr(sys.modules.get(package), "__version__", None)
        return version if isinstance(version, str) else None


def _sha256(path):
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except (OSError, TypeError):
        return None
