"""Optional dependencies: the command that installs those of an extra.

It names the libraries themselves, with their ranges: this package may be installed from a copy of its source, and pip
would not find it by its name.
"""

from functools import cache
from importlib import metadata


@cache
def install_command(extra: str) -> str:
    """Return the pip command that installs the libraries of an extra of this package."""
    marked = (requirement.partition(";") for requirement in metadata.requires("persona_stream") or ())
    wanted = [
        name.strip() for name, _, marker in marked if marker.strip() in (f'extra == "{extra}"', f"extra == '{extra}'")
    ]
    return " ".join(("pip install", *(f"'{name}'" for name in wanted)))
