"""The header fields of a request, in the forms that gevent and WSGI ask for them.

Python's own reader is made for mail, and takes as long for a head as the rest of the server does for a request.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

# WSGI has names of their own for these.
_APART = frozenset(("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"))


class Fields:
    """Hold the fields of a head that was found good, as gevent's handler asks for them.

    Attributes:
        status: what is wrong with the head: nothing.
    """

    status = ""

    def __init__(self, fields: Sequence[tuple[str, str]]) -> None:
        self._fields = fields
        self._first: dict[str, str] = {}
        for name, value in fields:
            self._first.setdefault(name.lower(), value)

    def get(self, name: str, default: str | None = None) -> str | None:
        """Give the first value of a field."""
        return self._first.get(name.lower(), default)

    getheader = get

    def __delitem__(self, name: str) -> None:
        """Forget a field's value, or raise ``KeyError``."""
        del self._first[name.lower()]

    @property
    def typeheader(self) -> str | None:
        """The field Content-Type."""
        return self._first.get("content-type")

    def variables(self) -> Iterator[tuple[str, str]]:
        """Give names and values as WSGI has them.

        A name with an underscore is left out: as a variable it could not be told from one with a dash, which a proxy
        before us may have checked.
        """
        for name, value in self._fields:
            if "_" not in name and (variable := _variable(name)) not in _APART:
                yield variable, value


@lru_cache(1024)  # every request has the same few; strangers may send as many others as they like
def _variable(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")
