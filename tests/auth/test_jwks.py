"""Published keys: rotation, outages, and what a request can cause."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from persona_stream.auth.jwks import JWKSKeySource, fetch_over_http
from persona_stream.auth.keys import public_algorithms
from persona_stream.auth.verifier import create_verifier
from persona_stream.errors import Unauthorized, Unavailable
from persona_stream.settings.schema import Settings
from tests.auth.token_forgery import EC, ED, GOOD, NOW, OTHER_RSA, RSA, jwk, jwks, signed
from tests.fakes import FakeClock

OLD = jwk(RSA, "RS256", kid="old", use="sig")
NEW = jwk(OTHER_RSA, "RS256", kid="new", use="sig")


class Address:
    """Publish keys, or be away; and count who asks."""

    def __init__(self, *keys: Any) -> None:
        self.body: bytes | None = jwks(*keys)
        self.asked = 0

    def __call__(self, url: str) -> bytes:
        self.asked += 1
        if self.body is None:
            raise ConnectionRefusedError("Connection refused")
        return self.body


def published(address: Address, clock: FakeClock) -> JWKSKeySource:
    return JWKSKeySource("https://keys.example", public_algorithms(()), clock, address)


def test_the_address_is_asked_when_the_first_token_comes() -> None:
    """And not again for five minutes, as long as every token names a key that is known."""
    clock, address = FakeClock(NOW), Address(OLD, NEW)
    keys = published(address, clock)
    assert address.asked == 0
    for seconds in (0, 60, 299):
        clock.now = NOW + seconds
        assert len(keys.keys_for("RS256", "old")) == 1
    assert address.asked == 1
    clock.now = NOW + 300
    keys.keys_for("RS256", "old")
    assert address.asked == 2


def test_a_kid_picks_the_key_and_no_kid_leaves_all_that_fit() -> None:
    """A kid is compared whole; a key of another kind is never a candidate."""
    keys = published(Address(OLD, NEW, jwk(EC, "ES256", kid="curve"), jwk(ED, "EdDSA")), FakeClock(NOW))
    assert len(keys.keys_for("RS256", "new")) == 1
    assert len(keys.keys_for("RS256", None)) == 2
    assert len(keys.keys_for("EdDSA", None)) == 1
    assert keys.keys_for("ES256", "old") == []
    assert keys.keys_for("RS256", "ol") == []
    assert keys.keys_for("RS256", "") == []


def test_a_rotation_is_noticed_at_the_first_token_with_the_new_key() -> None:
    """The key set is asked again at once, if the last time is half a minute ago."""
    clock, address = FakeClock(NOW), Address(OLD)
    keys = published(address, clock)
    keys.keys_for("RS256", "old")
    address.body = jwks(OLD, NEW)
    clock.now = NOW + 30
    assert len(keys.keys_for("RS256", "new")) == 1
    assert address.asked == 2


def test_a_key_that_is_withdrawn_counts_no_more_after_five_minutes() -> None:
    """Its tokens name a key that nobody knows then."""
    clock, address = FakeClock(NOW), Address(OLD, NEW)
    keys = published(address, clock)
    keys.keys_for("RS256", "old")
    address.body = jwks(NEW)
    clock.now = NOW + 299
    assert len(keys.keys_for("RS256", "old")) == 1
    clock.now = NOW + 300
    assert keys.keys_for("RS256", "old") == []


def test_tokens_that_name_keys_nobody_knows_cause_one_question_in_half_a_minute() -> None:
    """However many of them come."""
    clock, address = FakeClock(NOW), Address(OLD)
    keys = published(address, clock)
    for tenth in range(1200):
        clock.now = NOW + tenth / 10
        assert keys.keys_for("RS256", f"made up {tenth}") == []
    assert address.asked == 4


@pytest.mark.parametrize(
    "body", [None, b"", b"<html>", b"{}", b"[]", b'{"keys":[]}', b'{"keys":5}', b'{"keys":[5,null]}']
)
def test_keys_outlive_an_outage_of_their_address(body: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the outage looks like; the log says it, and new keys are taken as soon as there are any."""
    clock, address = FakeClock(NOW), Address(OLD)
    keys = published(address, clock)
    keys.keys_for("RS256", "old")
    address.body = body
    for seconds in (300, 600, 86_400):
        clock.now = NOW + seconds
        assert len(keys.keys_for("RS256", "old")) == 1
    assert address.asked == 4
    assert "No keys from jwks_url" in caplog.text
    assert "the old ones stay" in caplog.text
    address.body = jwks(NEW)
    clock.now = NOW + 90_000
    assert len(keys.keys_for("RS256", "new")) == 1


def test_without_any_keys_nothing_can_be_told() -> None:
    """The refusal is 503 and not 401, says when to come again, and causes no more questions."""
    clock, address = FakeClock(NOW), Address(OLD)
    address.body = None
    keys = published(address, clock)
    for seconds, retry_after in ((0, "30"), (12, "18"), (29.9, "1")):
        clock.now = NOW + seconds
        with pytest.raises(Unavailable, match="out of reach") as caught:
            keys.keys_for("RS256", "old")
        assert caught.value.headers == {"Retry-After": retry_after}
    assert address.asked == 1
    address.body = jwks(OLD)
    clock.now = NOW + 30
    assert len(keys.keys_for("RS256", "old")) == 1


def test_useless_keys_beside_good_ones_are_passed_over() -> None:
    """Keys for encryption, symmetric ones, damaged ones and nonsense do not spoil the set."""
    rubbish = [
        jwk(RSA, "RS256", kid="enc", use="enc"),
        {"kty": "oct", "k": "AAAA", "kid": "old"},
        {"kty": "RSA"},
        5,
        None,
        [],
        "x",
    ]
    keys = published(Address(*rubbish, OLD), FakeClock(NOW))
    assert len(keys.keys_for("RS256", "old")) == 1
    assert keys.keys_for("RS256", "enc") == []


def test_many_who_come_with_a_new_key_wait_for_the_one_who_asks() -> None:
    """The address is asked once, and nobody is turned away because somebody else was first."""
    clock, address = FakeClock(NOW), Address(OLD)
    arrived, answer = threading.Event(), threading.Event()

    def slow(url: str) -> bytes:
        if address.asked:
            arrived.set()
            assert answer.wait(30)
        return address(url)

    keys = JWKSKeySource("https://keys.example", ("RS256",), clock, slow)
    keys.keys_for("RS256", "old")
    address.body = jwks(OLD, NEW)
    clock.now = NOW + 60
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(keys.keys_for("RS256", "new")))) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert arrived.wait(30)
    assert len(keys.keys_for("RS256", "old")) == 1  # who names a known key waits for nobody
    answer.set()
    for thread in threads:
        thread.join(30)
    assert found == [1] * 5
    assert address.asked == 2


class Publisher(ThreadingHTTPServer):
    """A server of keys that can be changed while it runs."""

    daemon_threads = True
    status = 200
    body = b""
    headers: tuple[tuple[str, str], ...] = ()
    asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/keys.json"


class Handler(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(self.server.status)
        for name, value in self.server.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_rotation_over_http(publisher: Publisher) -> None:
    """From a token to its caller, through a real address that changes its keys, goes away, and comes back."""
    clock = FakeClock(NOW)
    check = create_verifier(Settings(jwks_url=publisher.url), "", clock).verify
    claims = GOOD | {"exp": NOW + 10_000}
    publisher.body = jwks(OLD)
    assert check(signed(claims, RSA, "RS256", kid="old")).subject == "ann"
    assert check(signed(claims, RSA, "RS256")).subject == "ann"
    with pytest.raises(Unauthorized, match="a key that this server does not know"):
        check(signed(claims, OTHER_RSA, "RS256", kid="new"))
    with pytest.raises(Unauthorized, match="not signed with this server's key"):
        check(signed(claims, OTHER_RSA, "RS256", kid="old"))
    with pytest.raises(Unauthorized, match="alg must be RS256"):
        check(signed(claims, "x" * 40, "HS256", kid="old"))

    publisher.body = jwks(NEW)
    clock.now = NOW + 40
    assert check(signed(claims, OTHER_RSA, "RS256", kid="new")).subject == "ann"
    clock.now = NOW + 400
    with pytest.raises(Unauthorized, match="a key that this server does not know"):
        check(signed(claims, RSA, "RS256", kid="old"))

    publisher.status = 503
    clock.now = NOW + 1000
    assert check(signed(claims | {"sub": "bob"}, OTHER_RSA, "RS256", kid="new")).subject == "bob"


@pytest.mark.parametrize(
    ("status", "headers", "body", "error"),
    [
        (404, (), b"{}", OSError),
        (500, (), b"{}", OSError),
        (204, (), b"", OSError),
        (302, (("Location", "http://127.0.0.1:9/"),), b"", OSError),
        (200, (("Content-Encoding", "gzip"),), b"not gzip", OSError),
        (200, (("Content-Length", "100"),), b"short", OSError),
        (200, (), b"x" * 200_000, ValueError),
    ],
)
def test_an_answer_that_is_none_is_an_error(
    publisher: Publisher, status: int, headers: tuple[tuple[str, str], ...], body: bytes, error: type[Exception]
) -> None:
    """Redirects are not followed, and what is too large is not read to its end."""
    publisher.status, publisher.headers, publisher.body = status, headers, body
    with pytest.raises(error):
        fetch_over_http(publisher.url, FakeClock(NOW))


def test_an_answer_that_drips_is_given_up(publisher: Publisher) -> None:
    """The time for all of it is bounded, and not only the time for each part."""
    publisher.body = jwks(OLD)
    clock = iter((0, 11))
    with pytest.raises(ValueError, match="too slow"):
        fetch_over_http(publisher.url, lambda: float(next(clock)))


def test_nobody_at_the_address_is_an_error() -> None:
    """As everything that goes wrong there."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # taken, and nobody listens
        with pytest.raises(OSError, match="refused"):
            fetch_over_http(f"http://127.0.0.1:{unheard.getsockname()[1]}/", FakeClock(NOW))
