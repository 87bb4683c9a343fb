"""Fields as gevent and WSGI ask for them."""

from __future__ import annotations

import pytest

from persona_stream.server.http11 import Fields

FIELDS = Fields(
    [("Host", "x"), ("Content-Type", "a/b"), ("content-length", "0"), ("X-Real-Ip", "1"), ("X_Real_Ip", "2"),
     ("Accept", "a"), ("accept", "b")]
)  # fmt: skip


def test_a_field_is_found_by_its_name_in_any_case() -> None:
    """The first of its name; and what is not there is what the caller says."""
    assert (FIELDS.get("hOsT"), FIELDS.getheader("accept"), FIELDS.get("x"), FIELDS.get("x", "")) == (
        "x",
        "a",
        None,
        "",
    )
    assert (FIELDS.typeheader, FIELDS.status) == ("a/b", "")


def test_variables_are_those_of_wsgi() -> None:
    """All of them in their order, but those with names of their own, and those that could be taken for another."""
    assert list(FIELDS.variables()) == [
        ("HTTP_HOST", "x"), ("HTTP_X_REAL_IP", "1"), ("HTTP_ACCEPT", "a"), ("HTTP_ACCEPT", "b"),
    ]  # fmt: skip


def test_a_field_can_be_forgotten() -> None:
    """Which gevent does to a length, where a body is in chunks."""
    fields = Fields([("Host", "x")])
    del fields["host"]
    assert fields.get("Host") is None
    with pytest.raises(KeyError):
        del fields["content-length"]
