"""Diagnosis of measurements of a path."""

from __future__ import annotations

import re

from persona_stream.client.diagnosis import Finding, Measurement, diagnose

GOOD = Measurement(
    silent=0,
    status=200,
    headers={"content-type": "text/event-stream; charset=utf-8"},
    delays=(-3.0, -2.99, -2.9),
    lasted=2.0,
    is_complete=True,
)


def changed(**fields: object) -> Measurement:
    """Return the good measurement with other fields."""
    values = {name: getattr(GOOD, name) for name in GOOD.__struct_fields__}
    return Measurement(**values | fields)  # type: ignore[arg-type]  # fields of the Struct


def problems(ticking: Measurement, *silences: Measurement) -> list[Finding]:
    """Return the findings that harm streams."""
    return [finding for finding in diagnose(ticking, silences) if finding.is_problem]


def test_a_good_path_has_no_problem() -> None:
    """Clocks of client and server may differ."""
    assert problems(GOOD, changed(silent=30, lasted=30.0)) == []


def test_each_fault_is_one_problem() -> None:
    """The text names the observation."""
    faults = {
        "buffers": changed(delays=(2.0, 1.0, 0.0)),
        "compresses": changed(headers={**GOOD.headers, "content-encoding": "br"}),
        "Content-Type to text/html": changed(headers={"content-type": "text/html"}),
        "cut after 2 s": changed(is_complete=False, error="ChunkedEncodingError"),
        "401": changed(status=401),
        "404": changed(status=404),
        "redirected to https://x": changed(status=301, headers={"location": "https://x"}),
        "answered 502": changed(status=502),
        "No response (ConnectionError)": changed(status=0, error="ConnectionError"),
    }
    for text, measurement in faults.items():
        [problem] = problems(measurement)
        assert text in problem.text
        assert problem.advice


def test_the_proxy_is_named_by_its_headers() -> None:
    """In the first finding, and where it cuts a silence."""
    headers = {**GOOD.headers, "cf-ray": "1-FRA", "server": "cloudflare"}
    quiet = changed(silent=100, is_complete=False, lasted=100.2, status=524)
    first, *_, last = diagnose(changed(headers=headers), [quiet])
    assert first.text == "The response passes through Cloudflare"
    assert "100 s of silence was cut by Cloudflare" in last.text


def test_every_finding_has_both_languages() -> None:
    """With the same values."""
    headers = {"via": "1.1 x", "content-encoding": "br"}
    bad = changed(headers=headers, delays=(9.0, 0.0), is_complete=False)
    cut = [changed(silent=30, lasted=lasted, is_complete=False) for lasted in (5.0, 40.0)]
    english, chinese = (diagnose(bad, cut, language) for language in ("en", "zh"))
    assert [each.is_problem for each in chinese] == [each.is_problem for each in english]
    for finding in chinese:
        assert re.search("[一-龥]", finding.text)
    assert chinese[0].text == "响应经过：代理"
    assert "9.0 秒" in chinese[3].text
    assert "5 秒后被 代理 切断" in chinese[5].text
