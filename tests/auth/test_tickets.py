"""Signed run URLs."""

from __future__ import annotations

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from persona_stream.auth.tickets import RunURLSigner
from tests.auth.token_forgery import SECRET, encoded

TICKETS = RunURLSigner(lambda: SECRET)


def test_a_ticket_is_the_same_in_every_process() -> None:
    """It depends only on the secret and the run, and fits into a URL."""
    assert (
        TICKETS.sign("01kaf")
        == RunURLSigner(lambda: SECRET).sign("01kaf")
        == "FpIaE1YEFZ9EQ_ULfHkk95lhj-0g5_-ZS0sNf8gDL8g"
    )


def test_a_ticket_is_for_one_run_and_one_secret() -> None:
    """The ticket of another run or server, a part of a ticket, and an empty one are refused."""
    ticket = TICKETS.sign("01kaf")
    assert TICKETS.verify("01kaf", ticket)
    assert not TICKETS.verify("01kag", ticket)
    assert not TICKETS.verify("", ticket)
    assert not RunURLSigner(lambda: SECRET + "x").verify("01kaf", ticket)
    assert not any(
        TICKETS.verify("01kaf", part) for part in ("", ticket[:-1], ticket + "=", ticket.upper(), "é", "\ud800")
    )


def test_a_ticket_is_not_the_signature_of_a_token() -> None:
    """The key is derived, so that a signed run id never makes a valid token."""
    assert TICKETS.sign("a.b") != encoded(hmac.digest(SECRET.encode(), b"a.b", hashlib.sha256))


@given(st.text(), st.text())
def test_any_run_id_has_a_ticket_of_its_own(one: str, other: str) -> None:
    """The characters of the id do not matter."""
    assert TICKETS.verify(one, TICKETS.sign(one))
    assert TICKETS.verify(one, TICKETS.sign(other)) == (one == other)
