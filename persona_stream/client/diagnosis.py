"""Diagnosis of a path: what the proxies on it do to streams, from measurements, in the language of the reader."""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated

from msgspec import Meta, Struct, structs

from persona_stream.client.texts import Language, Texts

MEDIA_TYPE = "text/event-stream"
MAX_DELAY = 0.9  # seconds by which an event may arrive late, beyond the fastest one

_PROXIES = (
    ("cf-ray", "", "Cloudflare"),
    ("server", "cloudflare", "Cloudflare"),
    ("x-amz-cf-id", "", "CloudFront"),
    ("server", "awselb", "proxy_aws"),
    ("server", "nginx", "nginx"),
    ("server", "openresty", "nginx"),
    ("server", "caddy", "Caddy"),
    ("server", "envoy", "Envoy"),
    ("via", "", "proxy_other"),
)


class Measurement(Struct, frozen=True):
    """One request for timed events, as its response arrived."""

    silent: Annotated[int, Meta(description="Seconds of silence that were asked for, before the events.")] = 0
    status: Annotated[int, Meta(description="HTTP status; 0 if there was no response.")] = 0
    headers: Annotated[Mapping[str, str], Meta(description="Response headers, with names in lower case.")] = {}
    delays: Annotated[
        tuple[float, ...],
        Meta(description="Seconds between sending and arrival of each event, of two clocks that may differ."),
    ] = ()
    lasted: Annotated[float, Meta(description="Seconds until the end or the break of the connection.")] = 0.0
    is_complete: Annotated[bool, Meta(description="Whether the last event arrived.")] = False
    error: Annotated[str, Meta(description="What broke the connection.")] = ""


class Finding(Struct, frozen=True):
    """Result of a diagnosis."""

    is_problem: Annotated[bool, Meta(description="Whether it harms streams.")]
    text: Annotated[str, Meta(description="Observation.")]
    advice: Annotated[str, Meta(description="Remedy, or an empty text.")] = ""


def diagnose(ticking: Measurement, silences: Sequence[Measurement], language: Language = "en") -> list[Finding]:
    """Return the findings of a measurement with an event a second, and of some that are silent at first."""
    report = _Report(Texts(language).doctor)
    if ticking.status != HTTPStatus.OK:
        return [_refused(report, ticking)]
    name = _proxy_name(ticking.headers)
    proxy = report.text(name) if name.startswith("proxy_") else name
    findings = [report.good("passes_through", proxy=proxy) if proxy else report.good("no_proxy")]
    findings += [_media_type(report, ticking), _compression(report, ticking), _buffering(report, ticking, proxy)]
    return [*findings, _life(report, ticking), *(_silence(report, each, proxy) for each in silences)]


class _Report:
    """Findings in one language."""

    def __init__(self, text: Callable[..., str]) -> None:
        self.text = text

    def good(self, key: str, **values: object) -> Finding:
        return Finding(False, self.text(key, **values))

    def problem(self, key: str, advice: str, **values: object) -> Finding:
        return Finding(True, self.text(key, **values), self.text(advice, **values))


def _proxy_name(headers: Mapping[str, str]) -> str:
    matches = (
        name for header, text, name in _PROXIES if text in headers.get(header, "\0").lower() and header in headers
    )
    return next(matches, "")


def _refused(report: _Report, ticking: Measurement) -> Finding:
    match ticking.status:
        case 0:
            return report.problem("no_response", "no_response_advice", error=ticking.error)
        case 401:
            return report.problem("unauthorized", "unauthorized_advice")
        case 404:
            return report.problem("not_found", "not_found_advice")
        case status if 300 <= status < 400:
            location = ticking.headers.get("location", "")
            return report.problem("redirected", "redirected_advice", status=status, location=location)
    return report.problem("refused", "refused_advice", status=ticking.status)


def _media_type(report: _Report, ticking: Measurement) -> Finding:
    kind = ticking.headers.get("content-type", "").partition(";")[0]
    if kind == MEDIA_TYPE:
        return report.good("media_type", kind=kind)
    return report.problem("media_type_changed" if kind else "media_type_removed", "media_type_advice", kind=kind)


def _compression(report: _Report, ticking: Measurement) -> Finding:
    encoding = ticking.headers.get("content-encoding", "")
    return (
        report.problem("compressed", "compressed_advice", encoding=encoding)
        if encoding
        else report.good("not_compressed")
    )


def _buffering(report: _Report, ticking: Measurement, proxy: str) -> Finding:
    # The fastest event tells the difference of the clocks.
    worst = max(ticking.delays) - min(ticking.delays) if ticking.delays else 0.0
    if ticking.delays and worst <= MAX_DELAY:
        return report.good("prompt", seconds=worst)
    finding = report.problem("buffers", "buffers_advice", seconds=worst)
    if proxy == "nginx":
        return finding
    return structs.replace(finding, advice=f"{finding.advice} {report.text('buffers_others')}")


def _life(report: _Report, ticking: Measurement) -> Finding:
    if ticking.is_complete:
        return report.good("lasts", seconds=ticking.lasted)
    reason = ticking.error or report.text("end_of_stream")
    return report.problem("cut", "cut_advice", seconds=ticking.lasted, reason=reason)


def _silence(report: _Report, quiet: Measurement, proxy: str) -> Finding:
    if quiet.is_complete:
        return report.good("survives", silent=quiet.silent)
    return report.problem(
        "silence_cut" if quiet.lasted < quiet.silent + 1 else "silence_cut_late",
        "silence_advice",
        silent=quiet.silent,
        seconds=quiet.lasted,
        by=report.text("by", proxy=proxy) if proxy else "",
        needed=quiet.silent + 20,
    )
