"""Tickets of runs."""

from __future__ import annotations

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from persona_stream.auth.tickets import RunURLSigner
from tests.auth.token_forgery import SECRET, encoded

TICKETS = RunURLSigner(lambda: SECRET)


def test_a_ticket_is_the_same_in_every_process() -> None:
    """It depends on the secret and the run alone, and fits into an address."""
    assert (
        TICKETS.sign("01kaf")
        == RunURLSigner(lambda: SECRET).sign("01kaf")
        == "FpIaE1YEFZ9EQ_ULfHkk95lhj-0g5_-ZS0sNf8gDL8g"
    )


def test_a_ticket_is_for_one_run_and_one_secret() -> None:
    """Another run's, another server's, a part of it, and none at all are refused."""
    ticket = TICKETS.sign("01kaf")
    assert TICKETS.verify("01kaf", ticket)
    assert not TICKETS.verify("01kag", ticket)
    assert not TICKETS.verify("", ticket)
    assert not RunURLSigner(lambda: SECRET + "x").verify("01kaf", ticket)
    assert not any(
        TICKETS.verify("01kaf", part) for part in ("", ticket[:-1], ticket + "=", ticket.upper(), "é", "\ud800")
    )


def test_a_ticket_is_no_signature_of_a_token() -> None:
    """The key is another one, so who can have things signed as run ids has no token by that."""
    assert TICKETS.sign("a.b") != encoded(hmac.digest(SECRET.encode(), b"a.b", hashlib.sha256))


@given(st.text(), st.text())
def test_any_run_id_has_a_ticket_of_its_own(one: str, other: str) -> None:
    """Whatever characters it has."""
    assert TICKETS.verify(one, TICKETS.sign(one))
    assert TICKETS.verify(one, TICKETS.sign(other)) == (one == other)
