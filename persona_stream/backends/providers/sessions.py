"""Sessions: pools of connections, with nothing in them that a provider or the environment slips in later."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urlsplit

import requests

from persona_stream.backends.providers.gathering import Adapter

_CONNECTIONS = 512


class Sessions:
    """Share a session in the thread that made this, and lend one for a request in any other.

    Under gevent a socket belongs to the hub of the thread that opened it: waiting for it in another thread raises,
    and so does closing it when that thread has ended. So elsewhere none outlives its request.
    """

    def __init__(self, shared: requests.Session, lend: Callable[[], AbstractContextManager[requests.Session]]) -> None:
        self._shared, self._lend = shared, lend
        self._home = threading.get_native_id()

    @contextmanager
    def one(self) -> Iterator[requests.Session]:
        """Give a session for one request."""
        if threading.get_native_id() == self._home:
            yield self._shared
        else:
            with self._lend() as session:
                yield session


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Hold what the environment says about the way to an address.

    Attributes:
        proxies: by scheme, as requests takes them.
        verify: the file or folder with the certificates to trust, or ``True`` for those that come with requests.
    """

    proxies: Mapping[str, str]
    verify: bool | str


def surroundings_of(url: str) -> Surroundings:
    """Read ``HTTPS_PROXY``, ``NO_PROXY``, ``REQUESTS_CA_BUNDLE`` and their kind, as they are now.

    A proxy is never asked for this machine, which is seldom meant and never works.
    """
    with requests.Session() as session:
        found = session.merge_environment_settings(url, {}, None, None, None)
    direct = _is_this_machine(urlsplit(url).hostname or "")
    return Surroundings({} if direct else found["proxies"], found["verify"] or True)


def session_for(surroundings: Surroundings) -> requests.Session:
    """Make a session for hundreds of requests at once to one address."""
    session = requests.Session()
    # Off, as it would read ~/.netrc for each request, and put what it finds there in place of the key.
    session.trust_env = False
    session.proxies = dict(surroundings.proxies)
    session.verify = surroundings.verify
    # A provider's cookie would tie one user's requests to another's.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    # Tries are counted in one place, and this is not it. A full pool opens one more, and blocks nobody.
    adapter = Adapter(pool_connections=1, pool_maxsize=_CONNECTIONS, max_retries=0, pool_block=False)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
