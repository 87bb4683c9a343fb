"""Values of settings, and their textual forms."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.settings.types import (
    BackendName,
    Count,
    Duration,
    DurationOrNever,
    LogFormat,
    Networks,
    OptionalText,
    OptionalURL,
    Origins,
    Port,
    PositiveDuration,
    Size,
    Switch,
    Text,
    convert,
    form_of,
    format_value,
)
from persona_stream.settings.types import OptionalPath as FilePath


@pytest.mark.parametrize(
    ("annotation", "written", "value"),
    [
        (Port, "0", 0),
        (Port, "65535", 65535),
        (Port, 80, 80),
        (Duration, "30", 30.0),
        (Duration, "30s", 30.0),
        (Duration, "30 s", 30.0),
        (Duration, "5m", 300.0),
        (Duration, "12h", 43_200.0),
        (Duration, "1d", 86_400.0),
        (Duration, "1.5", 1.5),
        (Duration, "0.5m", 30.0),
        (Duration, "250ms", 0.25),
        (Duration, 2, 2.0),
        (Duration, 0, 0.0),
        (Size, "1048576", 2**20),
        (Size, "1MiB", 2**20),
        (Size, "256 MiB", 2**28),
        (Size, "1.5 kib", 1536),
        (Size, "1GB", 10**9),
        (Size, "7B", 7),
        (Size, 5, 5),
        (Switch, "on", True),
        (Switch, "TRUE", True),
        (Switch, "no", False),
        (Switch, "0", False),
        (Switch, False, False),
        (Text, "深い", "深い"),
        (OptionalURL, "https://keys.example:8443/jwks.json", "https://keys.example:8443/jwks.json"),
        (LogFormat, "json", "json"),
        (BackendName, "demo", "demo"),
        (BackendName, "anthropic", "anthropic"),
        (BackendName, "my_app.llm:ask", "my_app.llm:ask"),
        (BackendName, "my_app:client.ask", "my_app:client.ask"),
        (FilePath, "a/b", Path("a/b")),
        (FilePath, Path("/c"), Path("/c")),
        (FilePath, "~/x", Path.home() / "x"),
        (Origins, "*", ("*",)),
        (Origins, "", ()),
        (Origins, "https://A.example, http://localhost:3000", ("https://a.example", "http://localhost:3000")),
        (Origins, ["https://a.example"], ("https://a.example",)),
        (Origins, "null,capacitor://localhost", ("null", "capacitor://localhost")),
        (Networks, "", ()),
        (Networks, "10.0.0.0/8, ::1", (ip_network("10.0.0.0/8"), ip_network("::1/128"))),
        (Networks, ["192.0.2.7"], (ip_network("192.0.2.7/32"),)),
        (Networks, "fd00::/8", (ip_network("fd00::/8"),)),
        (DurationOrNever, "", None),
        (DurationOrNever, "Never", None),
        (DurationOrNever, "off", None),
        (DurationOrNever, None, None),
        (DurationOrNever, False, None),
        (DurationOrNever, "0", 0.0),
        (DurationOrNever, 0, 0.0),
        (OptionalText, "", None),
        (OptionalText, "never", "never"),
    ],
)
def test_a_value_is_converted(annotation: Any, written: object, value: object) -> None:
    """The result has the right type, is accepted itself, and reads back from its text."""
    converted = convert(written, annotation)
    assert (type(converted), converted) == (type(value), value)
    assert convert(converted, annotation) == value
    assert convert(format_value(converted, annotation), annotation) == value


@pytest.mark.parametrize(
    ("annotation", "written"),
    [
        *((Port, wrong) for wrong in ("", "-1", "65536", "8.5", "８０", "1_000", " 80", "9" * 5000)),
        *((Port, wrong) for wrong in (-1, 8.5, True, None, [80])),
        *((Duration, wrong) for wrong in ("", "-1", "1e3", "5 minutes", "5M", "1h30m", "nan", "inf", "٣", "4000000d")),
        *((Duration, wrong) for wrong in (-1, float("nan"), float("inf"), True, None, "9" * 5000)),
        *((PositiveDuration, wrong) for wrong in ("0", "0.0", 0, "0s")),
        *((Size, wrong) for wrong in ("", "0", "-1", "1 M", "1 TiB!", "MiB", 0, 1.5, True, "999999999999999GiB")),
        *((Switch, wrong) for wrong in ("", "maybe", 1.5, None, [])),
        *((Text, wrong) for wrong in ("", "a\nb", "a\n", "a\x00", "a\x85", "\udcff", "\u2028", 4, None)),
        *(
            (OptionalURL, wrong)
            for wrong in ("keys.example", "ftp://a", "http://", "http://a b", "http://a:0", "http://[")
        ),
        *((OptionalURL, wrong) for wrong in ("http://a:99999", "file:///etc/passwd", "https:///x", 5)),
        *((LogFormat, wrong) for wrong in ("", "JSON", "yaml", 1, None)),
        *((BackendName, wrong) for wrong in ("", "Demo", "a.b", ":f", "m:", "m:f()", "m f:g", "1m:f", 5)),
        *(
            (Origins, wrong)
            for wrong in ("a.example", "https://a.example/", "https://a/b", "*,https://a", "https://*.a")
        ),
        *((Origins, wrong) for wrong in ("https://a,,https://b", "https://u@a", [5], 5, {"a": 1})),
        *((Networks, wrong) for wrong in ("10.0.0.1/8", "10.0.0.0/33", "10.0.0", "10.0.0.0/255.0.0.0", "localhost")),
        *(
            (Networks, wrong)
            for wrong in ("010.0.0.1", "*", "unix", "fe80::1%eth0", "[::1]", "::1,", "１.2.3.4", "::/")
        ),
        *((Networks, wrong) for wrong in ("10.0.0.0/8 10.1.0.0/16", "::ffff:10.0.0.0/104", 7, [7], [b"\x7f\0\0\1"])),
        *((FilePath, wrong) for wrong in ("a\x00b", "~no-user-of-this-name/x", 5)),
        (DurationOrNever, "nver"),
        (DurationOrNever, True),
    ],
)
def test_a_wrong_value_is_refused(annotation: Any, written: object) -> None:
    """The error has the allowed values, and not the value, which may be a secret."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is compared below
        convert(written, annotation)
    assert str(caught.value).removesuffix(", or never") == form_of(annotation).expects


def test_a_password_in_a_url_is_not_shown() -> None:
    """The part before the @ is replaced."""
    assert format_value("https://user:geheim@keys.example/a@b", OptionalURL) == "https://***@keys.example/a@b"


@given(st.floats(0, 36_500 * 86_400.0))
def test_a_formatted_duration_reads_back(seconds: float) -> None:
    """The result is exact to a billionth."""
    assert convert(format_value(seconds, Duration), Duration) == pytest.approx(seconds, rel=1e-9, abs=1e-9)


@given(st.integers(1, 10**15 - 1))
def test_a_formatted_size_reads_back(size: int) -> None:
    """The result is exact up to the precision of a float."""
    assert convert(format_value(size, Size), Size) == size


@given(st.text())
def test_any_text_is_converted_or_refused(text: str) -> None:
    """No other exception is raised, and results are accepted again."""
    for annotation in (
        Count, Duration, Size, Switch, Text, OptionalURL, BackendName, Origins, Networks, FilePath, DurationOrNever
    ):  # fmt: skip
        with suppress(ValueError):
            converted = convert(text, annotation)
            assert convert(converted, annotation) == converted
