"""What values can be, and how they are written."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.settings.types import (
    Backend,
    Choice,
    Count,
    Items,
    Maybe,
    Network,
    Origin,
    Place,
    Seconds,
    SettingType,
    Size,
    Switch,
    Text,
    Url,
)

NEVER = Maybe(Seconds(), ("never", "off", "none"))
ORIGINS = Items(Origin())
NETWORKS = Items(Network())


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        (Count(0, 65535), "0", 0),
        (Count(0, 65535), "65535", 65535),
        (Count(0, 65535), 80, 80),
        (Seconds(), "30", 30.0),
        (Seconds(), "30s", 30.0),
        (Seconds(), "30 s", 30.0),
        (Seconds(), "5m", 300.0),
        (Seconds(), "12h", 43_200.0),
        (Seconds(), "1d", 86_400.0),
        (Seconds(), "1.5", 1.5),
        (Seconds(), "0.5m", 30.0),
        (Seconds(), "250ms", 0.25),
        (Seconds(), 2, 2.0),
        (Seconds(), 0, 0.0),
        (Size(), "1048576", 2**20),
        (Size(), "1MiB", 2**20),
        (Size(), "256 MiB", 2**28),
        (Size(), "1.5 kib", 1536),
        (Size(), "1GB", 10**9),
        (Size(), "7B", 7),
        (Size(), 5, 5),
        (Switch(), "on", True),
        (Switch(), "TRUE", True),
        (Switch(), "no", False),
        (Switch(), "0", False),
        (Switch(), False, False),
        (Text(), "深い", "深い"),
        (Url(), "https://keys.example:8443/jwks.json", "https://keys.example:8443/jwks.json"),
        (Choice(("text", "json")), "json", "json"),
        (Backend(), "demo", "demo"),
        (Backend(), "anthropic", "anthropic"),
        (Backend(), "my_app.llm:ask", "my_app.llm:ask"),
        (Backend(), "my_app:client.ask", "my_app:client.ask"),
        (Place(), "a/b", Path("a/b")),
        (Place(), Path("/c"), Path("/c")),
        (Place(), "~/x", Path.home() / "x"),
        (ORIGINS, "*", ("*",)),
        (ORIGINS, "", ()),
        (ORIGINS, "https://A.example, http://localhost:3000", ("https://a.example", "http://localhost:3000")),
        (ORIGINS, ["https://a.example"], ("https://a.example",)),
        (ORIGINS, "null,capacitor://localhost", ("null", "capacitor://localhost")),
        (NETWORKS, "", ()),
        (NETWORKS, "10.0.0.0/8, ::1", (ip_network("10.0.0.0/8"), ip_network("::1/128"))),
        (NETWORKS, ["192.0.2.7"], (ip_network("192.0.2.7/32"),)),
        (NETWORKS, "fd00::/8", (ip_network("fd00::/8"),)),
        (NEVER, "", None),
        (NEVER, "Never", None),
        (NEVER, "off", None),
        (NEVER, None, None),
        (NEVER, False, None),
        (NEVER, "0", 0.0),
        (NEVER, 0, 0.0),
        (Maybe(Text()), "", None),
        (Maybe(Text()), "never", "never"),
    ],
)
def test_a_value_is_taken(kind: SettingType, written: object, value: object) -> None:
    """What is allowed becomes a value of the one right type, from a text and from itself."""
    taken = kind.take(written)
    assert (type(taken), taken) == (type(value), value)
    assert kind.take(taken) == value
    assert kind.take(kind.show(taken)) == value


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        *((Count(0, 65535), wrong) for wrong in ("", "-1", "65536", "8.0", "８０", "1_000", " 80", "9" * 5000)),
        *((Count(0, 65535), wrong) for wrong in (-1, 8.0, True, None, [80])),
        *((Seconds(), wrong) for wrong in ("", "-1", "1e3", "5 minutes", "5M", "1h30m", "nan", "inf", "٣", "4000000d")),
        *((Seconds(), wrong) for wrong in (-1, float("nan"), float("inf"), True, None, "9" * 5000)),
        *((Seconds(above_zero=True), wrong) for wrong in ("0", "0.0", 0, "0s")),
        *((Size(), wrong) for wrong in ("", "0", "-1", "1 M", "1 TiB!", "MiB", 0, 1.5, True, "999999999999999GiB")),
        *((Switch(), wrong) for wrong in ("", "maybe", 1.5, None, [])),
        *((Text(), wrong) for wrong in ("", "a\nb", "a\n", "a\x00", "a\x85", "\udcff", "\u2028", 4, None)),
        *(
            (Url(), wrong)
            for wrong in ("", "keys.example", "ftp://a", "http://", "http://a b", "http://a:0", "http://[")
        ),
        *((Url(), wrong) for wrong in ("http://a:99999", "file:///etc/passwd", "https:///x", 5)),
        *((Choice(("text", "json")), wrong) for wrong in ("", "JSON", "yaml", 1, None)),
        *((Backend(), wrong) for wrong in ("", "Demo", "a.b", ":f", "m:", "m:f()", "m f:g", "1m:f", 5)),
        *(
            (ORIGINS, wrong)
            for wrong in ("a.example", "https://a.example/", "https://a/b", "*,https://a", "https://*.a")
        ),
        *((ORIGINS, wrong) for wrong in ("https://a,,https://b", "https://u@a", [5], 5, {"a": 1})),
        *((NETWORKS, wrong) for wrong in ("10.0.0.1/8", "10.0.0.0/33", "10.0.0", "10.0.0.0/255.0.0.0", "localhost")),
        *(
            (NETWORKS, wrong)
            for wrong in ("010.0.0.1", "*", "unix", "fe80::1%eth0", "[::1]", "::1,", "１.2.3.4", "::/")
        ),
        *((NETWORKS, wrong) for wrong in ("10.0.0.0/8 10.1.0.0/16", "::ffff:10.0.0.0/104", 7, [7], [b"\x7f\0\0\1"])),
        *((Place(), wrong) for wrong in ("", "a\x00b", "~nobody-of-this-name/x", 5, None)),
        (NEVER, "nver"),
        (NEVER, True),
    ],
)
def test_a_wrong_value_is_not_taken(kind: SettingType, written: object) -> None:
    """What is not allowed raises, and the error says nothing of the value."""
    with pytest.raises(ValueError, match=r"^$"):
        kind.take(written)


def test_a_password_in_an_address_is_not_shown() -> None:
    """An address is shown without what stands before its @."""
    assert Url().show("https://user:geheim@keys.example/a@b") == "https://***@keys.example/a@b"


@given(st.floats(0, 36_500 * 86_400.0))
def test_a_duration_is_shown_as_it_can_be_read(seconds: float) -> None:
    """What is shown reads back as the same duration, to a billionth."""
    assert Seconds().take(Seconds().show(seconds)) == pytest.approx(seconds, rel=1e-9, abs=1e-9)


@given(st.integers(1, 2**60 - 1))
def test_a_size_is_shown_as_it_can_be_read(size: int) -> None:
    """What is shown reads back as the same number of bytes, where a float has room for it."""
    if size < 10**15:
        assert Size().take(Size().show(size)) == size


@given(st.text())
def test_no_text_makes_a_kind_fail_otherwise(text: str) -> None:
    """Whatever stands in the environment is taken or refused; nothing else happens."""
    for kind in (Count(), Seconds(), Size(), Switch(), Text(), Url(), Backend(), ORIGINS, NETWORKS, Place(), NEVER):
        with suppress(ValueError):
            taken = kind.take(text)
            assert kind.take(taken) == taken
