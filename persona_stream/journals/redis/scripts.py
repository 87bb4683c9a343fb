"""The scripts that Redis runs for us: each is one step that nobody can come between."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from msgspec import Struct


class Script(Struct, frozen=True):
    """Hold a script, and the digest under which Redis knows it once it has seen it."""

    text: str
    digest: str


def _load(name: str) -> Script:
    folder = files(__package__) / "lua"
    text = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in ("common", name))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())  # Redis asks for it


BEGIN = _load("begin")
APPEND = _load("append")
RENEW = _load("renew")
LEAVE = _load("leave")
