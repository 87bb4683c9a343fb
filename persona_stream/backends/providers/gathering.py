"""Connections that give all that has come of a body at once.

Python's client gives one chunk of HTTP's at a time, however many have come, and a provider sends every token as one.
"""

from __future__ import annotations

from http.client import HTTPException, HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from persona_stream.backends.providers.chunked import Chunks


class Response(HTTPResponse):
    """Read a body to its end with ``read1``, or without it: not both by turns."""

    def begin(self) -> None:
        super().begin()
        self._chunks = Chunks()

    def read1(self, n: int = -1) -> bytes:
        """Give what has come, at most ``n`` bytes of it, and wait only where nothing has; no bytes are the end.

        Raises:
            HTTPException: the body broke off; but first, what came before that is given.
        """
        if self.isclosed() or not self.chunked:
            return super().read1(n)
        body = b""
        while not (body or self._chunks.is_over):
            if self._chunks.is_broken:
                raise HTTPException("the chunks of a body break off")
            body = self._chunks.take(self.fp.read1(n))
        if self._chunks.is_over:
            self.close()
        return body


class _Connection(HTTPConnection):
    response_class = Response


class _SecureConnection(HTTPSConnection):
    response_class = Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class Adapter(HTTPAdapter):
    """Open such connections; one through a proxy is as ever."""

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
