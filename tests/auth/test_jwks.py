"""Published keys: rotation, outages, and bounded requests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from persona_stream.auth.jwks import JWKSKeySource, fetch_over_http, public_keys
from persona_stream.auth.jwt import create_verifier
from persona_stream.errors import ConfigurationError, Unauthorized, Unavailable
from persona_stream.settings.schema import Settings
from tests.auth.token_forgery import EC, ED, GOOD, NOW, OTHER_RSA, RSA, jwk, jwks, pem, signed
from tests.fakes import FakeClock

OLD = jwk(RSA, "RS256", kid="old", use="sig")
NEW = jwk(OTHER_RSA, "RS256", kid="new", use="sig")
SHORT_RSA = rsa.generate_private_key(65537, 1024)
RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


class Address:
    """Fetch function with a configurable body or outage, and a counter."""

    def __init__(self, *keys: Any) -> None:
        self.body: bytes | None = jwks(*keys)
        self.fetches = 0

    def __call__(self, url: str) -> bytes:
        self.fetches += 1
        if self.body is None:
            raise ConnectionRefusedError("Connection refused")
        return self.body


def key_source(address: Address, clock: FakeClock) -> JWKSKeySource:
    return JWKSKeySource("https://keys.example", (), clock, address)


def test_keys_are_fetched_at_the_first_token_and_cached_for_five_minutes() -> None:
    """Tokens with known keys cause no other fetch."""
    clock, address = FakeClock(NOW), Address(OLD, NEW)
    keys = key_source(address, clock)
    assert address.fetches == 0
    for seconds in (0, 60, 299):
        clock.now = NOW + seconds
        assert len(keys.keys_for("RS256", "old")) == 1
    assert address.fetches == 1
    clock.now = NOW + 300
    keys.keys_for("RS256", "old")
    assert address.fetches == 2


def test_a_kid_selects_one_key_and_no_kid_all_fitting_keys() -> None:
    """A kid is compared whole; a key of another type is never a candidate."""
    keys = key_source(Address(OLD, NEW, jwk(EC, "ES256", kid="curve"), jwk(ED, "EdDSA")), FakeClock(NOW))
    assert len(keys.keys_for("RS256", "new")) == 1
    assert len(keys.keys_for("RS256", None)) == 2
    assert len(keys.keys_for("EdDSA", None)) == 1
    assert keys.keys_for("ES256", "old") == []
    assert keys.keys_for("RS256", "ol") == []
    assert keys.keys_for("RS256", "") == []


def test_a_rotation_is_noticed_at_the_first_token_with_the_new_key() -> None:
    """An unknown key causes a fetch at once, unless the last one is less than 30 s ago."""
    clock, address = FakeClock(NOW), Address(OLD)
    keys = key_source(address, clock)
    keys.keys_for("RS256", "old")
    address.body = jwks(OLD, NEW)
    clock.now = NOW + 30
    assert len(keys.keys_for("RS256", "new")) == 1
    assert address.fetches == 2


def test_a_withdrawn_key_is_forgotten_after_five_minutes() -> None:
    """Its tokens name an unknown key from then on."""
    clock, address = FakeClock(NOW), Address(OLD, NEW)
    keys = key_source(address, clock)
    keys.keys_for("RS256", "old")
    address.body = jwks(NEW)
    clock.now = NOW + 299
    assert len(keys.keys_for("RS256", "old")) == 1
    clock.now = NOW + 300
    assert keys.keys_for("RS256", "old") == []


def test_unknown_keys_cause_at_most_one_fetch_in_thirty_seconds() -> None:
    """The number of tokens does not matter."""
    clock, address = FakeClock(NOW), Address(OLD)
    keys = key_source(address, clock)
    for tenth in range(1200):
        clock.now = NOW + tenth / 10
        assert keys.keys_for("RS256", f"unknown {tenth}") == []
    assert address.fetches == 4


@pytest.mark.parametrize(
    "body", [None, b"", b"<html>", b"{}", b"[]", b'{"keys":[]}', b'{"keys":5}', b'{"keys":[5,null]}']
)
def test_keys_outlive_an_outage_of_their_url(body: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    """Each kind of outage is logged, and new keys are used as soon as the URL has some."""
    clock, address = FakeClock(NOW), Address(OLD)
    keys = key_source(address, clock)
    keys.keys_for("RS256", "old")
    address.body = body
    for seconds in (300, 600, 86_400):
        clock.now = NOW + seconds
        assert len(keys.keys_for("RS256", "old")) == 1
    assert address.fetches == 4
    assert "cannot load keys from jwks_url" in caplog.text
    assert "keeping the previous keys" in caplog.text
    address.body = jwks(NEW)
    clock.now = NOW + 90_000
    assert len(keys.keys_for("RS256", "new")) == 1


def test_without_any_keys_the_verifier_is_unavailable() -> None:
    """The error is 503 with Retry-After, not 401, and causes no more fetches."""
    clock, address = FakeClock(NOW), Address(OLD)
    address.body = None
    keys = key_source(address, clock)
    for seconds, retry_after in ((0, "30"), (12, "18"), (29.9, "1")):
        clock.now = NOW + seconds
        with pytest.raises(Unavailable, match="unavailable") as caught:
            keys.keys_for("RS256", "old")
        assert caught.value.headers == {"Retry-After": retry_after}
    assert address.fetches == 1
    address.body = jwks(OLD)
    clock.now = NOW + 30
    assert len(keys.keys_for("RS256", "old")) == 1


def test_unusable_keys_in_a_set_are_skipped() -> None:
    """Encryption keys, symmetric keys, damaged keys and other values do not spoil the set."""
    unusable = [
        jwk(RSA, "RS256", kid="enc", use="enc"),
        {"kty": "oct", "k": "AAAA", "kid": "old"},
        {"kty": "RSA"},
        5,
        None,
        [],
        "x",
    ]
    keys = key_source(Address(*unusable, OLD), FakeClock(NOW))
    assert len(keys.keys_for("RS256", "old")) == 1
    assert keys.keys_for("RS256", "enc") == []


def test_concurrent_tokens_with_a_new_key_wait_for_one_fetch() -> None:
    """The URL is fetched once, and every token is accepted."""
    clock, address = FakeClock(NOW), Address(OLD)
    arrived, answer = threading.Event(), threading.Event()

    def slow(url: str) -> bytes:
        if address.fetches:
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
    assert len(keys.keys_for("RS256", "old")) == 1  # a known key does not wait
    answer.set()
    for thread in threads:
        thread.join(30)
    assert found == [1] * 5
    assert address.fetches == 2


@pytest.mark.parametrize(
    ("published", "algorithms"),
    [
        (jwk(RSA, "RS256"), RSA_ALGORITHMS),
        (jwk(RSA, "RS256", alg="PS256", use="sig", kid="7"), ("PS256",)),
        (jwk(EC, "ES256", key_ops=["verify"]), ("ES256",)),
        (jwk(ED, "EdDSA"), ("EdDSA",)),
    ],
)
def test_a_published_key_fits_its_own_algorithms(published: dict[str, Any], algorithms: tuple[str, ...]) -> None:
    """An ``alg`` in the key limits them further."""
    assert tuple(public_keys(published)) == algorithms


def test_a_published_private_key_is_reduced_to_its_public_half() -> None:
    """The private half is never loaded."""
    whole = jwk(RSA, "RS256", d=jwk(RSA, "RS256")["n"], p="AQAB")
    key = public_keys(whole)["RS256"]
    assert key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() == pem(RSA)


@pytest.mark.parametrize(
    "published",
    [
        {},
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
        {"kty": "oct", "k": "AAAA", "alg": "RS256"},
        jwk(RSA, "RS256", alg="HS256"),
        jwk(RSA, "RS256", alg="RSA-OAEP"),
        jwk(RSA, "RS256", use="enc"),
        jwk(RSA, "RS256", key_ops=["sign"]),
        jwk(EC, "ES256", alg="RS256"),
        jwk(EC, "ES256", crv="secp256k1"),
        jwk(SHORT_RSA, "RS256"),
        {"kty": "RSA", "n": "AQAB"},
        {"kty": ["RSA"], "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
    ],
)
def test_other_keys_are_unusable(published: dict[str, Any]) -> None:
    """Above all a symmetric key: anyone with access to the URL could sign with it."""
    assert public_keys(published) == {}


def test_the_algorithms_of_published_keys_can_be_limited() -> None:
    """Only algorithms of public keys count."""
    assert JWKSKeySource("https://keys.example", ("ES256", "HS256"), FakeClock(NOW)).algorithms == ("ES256",)
    assert "HS256" not in JWKSKeySource("https://keys.example", (), FakeClock(NOW)).algorithms
    with pytest.raises(ConfigurationError, match="jwt_algorithms allows HS256, but this jwks_url needs one of RS256"):
        JWKSKeySource("https://keys.example", ("HS256",), FakeClock(NOW))


class JWKSServer(ThreadingHTTPServer):
    """HTTP server of a key set that tests change while it runs."""

    daemon_threads = True
    status = 200
    body = b""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/keys.json"


class Handler(BaseHTTPRequestHandler):
    server: JWKSServer

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        for name, value in self.server.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def publisher() -> Iterator[JWKSServer]:
    with JWKSServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_rotation_over_http(publisher: JWKSServer) -> None:
    """Through a real server that changes its keys and then fails."""
    clock = FakeClock(NOW)
    check = create_verifier(Settings(jwks_url=publisher.url), "", clock).verify
    claims = GOOD | {"exp": NOW + 10_000}
    publisher.body = jwks(OLD)
    assert check(signed(claims, RSA, "RS256", kid="old")).subject == "ann"
    assert check(signed(claims, RSA, "RS256")).subject == "ann"
    with pytest.raises(Unauthorized, match="unknown to this server"):
        check(signed(claims, OTHER_RSA, "RS256", kid="new"))
    with pytest.raises(Unauthorized, match="signature is invalid"):
        check(signed(claims, OTHER_RSA, "RS256", kid="old"))
    with pytest.raises(Unauthorized, match="alg must be RS256"):
        check(signed(claims, "x" * 40, "HS256", kid="old"))

    publisher.body = jwks(NEW)
    clock.now = NOW + 40
    assert check(signed(claims, OTHER_RSA, "RS256", kid="new")).subject == "ann"
    clock.now = NOW + 400
    with pytest.raises(Unauthorized, match="unknown to this server"):
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
def test_an_unusable_response_is_an_error(
    publisher: JWKSServer, status: int, headers: tuple[tuple[str, str], ...], body: bytes, error: type[Exception]
) -> None:
    """Redirects are not followed, and a body that is too large is not read to its end."""
    publisher.status = status
    publisher.headers = headers
    publisher.body = body
    with pytest.raises(error):
        fetch_over_http(publisher.url, FakeClock(NOW))


def test_a_dripping_response_is_given_up(publisher: JWKSServer) -> None:
    """The total time is bounded, not only the time for each read."""
    publisher.body = jwks(OLD)
    clock = iter((0, 11))
    with pytest.raises(ValueError, match="too slow"):
        fetch_over_http(publisher.url, lambda: float(next(clock)))


def test_a_refused_connection_is_an_error() -> None:
    """It is an ``OSError`` like all of them."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but not listening
        with pytest.raises(OSError, match="refused"):
            fetch_over_http(f"http://127.0.0.1:{closed.getsockname()[1]}/", FakeClock(NOW))
