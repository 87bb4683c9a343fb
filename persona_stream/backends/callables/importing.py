"""Find what ``module:object.attribute`` names."""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

from persona_stream.errors import StartError

_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_SPEC = re.compile(rf"(?P<module>{_DOTTED}):(?P<path>{_DOTTED})")


def load(spec: str) -> object:
    """Import the module, and give the object in it.

    The current directory comes first in the module search path from then on, so that what the module imports
    later is found there too.

    Raises:
        StartError: the spec is malformed, or there is no such thing; its text says what to do.
    """
    parts = _SPEC.fullmatch(spec)
    if parts is None:
        hint = ", with dots and not slashes between folders" if "/" in spec or "\\" in spec else ""
        raise StartError(f"{spec!r} names no function: write module:function or module:object.method{hint}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found: object = _import(parts["module"])
    path = parts["module"]
    for attribute in parts["path"].split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            raise StartError(f"{path} has no {attribute}{_close_to(attribute, found)}") from error
        path = f"{path}.{attribute}"
    return found


def _import(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not f"{module}.".startswith(f"{missing}."):
            raise StartError(f"the module {module} needs {missing}, which is not installed") from error
        if module.endswith(".py"):
            raise StartError(f"{module} is a file's name: write {module.removesuffix('.py')} without .py") from error
        raise StartError(
            f"there is no module {missing}: start in the folder that holds it ({Path.cwd()} is the current one), or"
            " install it"
        ) from error
    # A script without a main guard may call sys.exit, which is no Exception.
    except (Exception, SystemExit) as error:
        raise StartError(
            f"the module {module} could not be imported ({type(error).__name__}: {error}): python -c 'import {module}'"
            " shows where"
        ) from error


def _close_to(attribute: str, owner: object) -> str:
    near = difflib.get_close_matches(attribute, dir(owner), n=1)
    return f": did you mean {near[0]}?" if near else ": look at its spelling"
