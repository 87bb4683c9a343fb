"""Path doctor: measures the path between this machine and a server, and the effects of a proxy in between on streams.

``measure`` makes one request, ``diagnose`` turns measurements into findings. Only the former does I/O.
"""

import json
from collections.abc import Mapping, Sequence

import requests
from msgspec import Struct

from persona_stream.client.models import ServerConfig
from persona_stream.core.clock import monotonic_wall_clock

PATH = "/api/doctor/stream"
MAX_DELAY = 0.9  # seconds by which an event may arrive late, beyond the fastest one
_CONNECT_TIMEOUT = 10.0
_SILENCE_MARGIN = 20.0  # seconds after which a connection without a byte counts as dead
_MEDIA_TYPE = "text/event-stream"

_PROXIES = (
    ("cf-ray", "", "Cloudflare"),
    ("server", "cloudflare", "Cloudflare"),
    ("x-amz-cf-id", "", "CloudFront"),
    ("server", "awselb", "an AWS load balancer"),
    ("server", "nginx", "nginx"),
    ("server", "openresty", "nginx"),
    ("server", "caddy", "Caddy"),
    ("server", "envoy", "Envoy"),
    ("via", "", "a proxy"),
)


class Measurement(Struct, frozen=True):
    """One request for timed events, as its response arrived.

    Attributes:
        silent: seconds of silence that were asked for, before the events.
        status: HTTP status; 0 if there was no response.
        headers: the response headers, with names in lower case.
        delays: seconds between sending and arrival of each event, of two clocks that may differ.
        lasted: seconds until the end or the break of the connection.
        is_complete: whether the last event arrived.
        error: what broke the connection.
    """

    silent: int
    status: int = 0
    headers: Mapping[str, str] = {}
    delays: tuple[float, ...] = ()
    lasted: float = 0.0
    is_complete: bool = False
    error: str = ""


class Finding(Struct, frozen=True):
    """Result of a diagnosis: the observation, whether it harms streams, and the remedy."""

    is_problem: bool
    text: str
    advice: str = ""


def measure(server: ServerConfig, *, seconds: int, silent: int = 0) -> Measurement:
    """Ask for events during ``seconds``, after ``silent`` seconds without a byte."""
    clock = monotonic_wall_clock()
    began = clock()
    headers = {"Authorization": f"Bearer {server.token}", "Accept": _MEDIA_TYPE, "Accept-Encoding": "gzip, br"}
    url = server.url_for(f"{PATH}?seconds={seconds}&silent={silent}")
    timeout = (_CONNECT_TIMEOUT, silent + seconds + _SILENCE_MARGIN)
    delays: list[float] = []
    found: dict[str, str] = {}
    status = 0
    error = ""
    is_complete = False
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout, allow_redirects=False) as response:
            status = response.status_code
            found = {name.lower(): value for name, value in response.headers.items()}
            for line in response.iter_lines(chunk_size=None) if status == requests.codes.ok else ():
                if line.startswith(b"data:"):
                    event = json.loads(line[5:])
                    delays.append(clock() - event["sent_at"])
                    is_complete = event["is_complete"]
    except (requests.RequestException, ValueError, LookupError, TypeError) as problem:
        error = type(problem).__name__
    return Measurement(silent, status, found, tuple(delays), clock() - began, is_complete, error)


def diagnose(ticking: Measurement, silences: Sequence[Measurement]) -> list[Finding]:
    """Return the findings of a measurement with an event a second, and of some that are silent at first."""
    if ticking.status != requests.codes.ok:
        return [_refused(ticking)]
    proxy = _proxy_name(ticking.headers)
    findings = [Finding(False, f"The response passes through {proxy}" if proxy else "No proxy adds a header")]
    findings += [_media_type(ticking), _compression(ticking), _buffering(ticking, proxy), _life(ticking)]
    return findings + [_silence(each, proxy) for each in silences]


def _proxy_name(headers: Mapping[str, str]) -> str:
    matches = (
        name for header, text, name in _PROXIES if text in headers.get(header, "\0").lower() and header in headers
    )
    return next(matches, "")


def _refused(ticking: Measurement) -> Finding:
    match ticking.status:
        case 0:
            return Finding(True, f"No response ({ticking.error})", "Check the URL, and that the server is running.")
        case 401:
            return Finding(
                True, "401: the server got no valid token",
                "Check the token. If it is valid, a proxy removes the header Authorization: let it pass.",
            )  # fmt: skip
        case 404:
            return Finding(
                True, "404: there is no doctor at this URL", "Check the URL, and the path that a proxy adds or removes."
            )
        case status if 300 <= status < 400:
            location = ticking.headers.get("location", "")
            return Finding(True, f"{status}: redirected to {location}", "Use that address: clients drop the token.")
    return Finding(True, f"The server answered {ticking.status}", "Read its log, or that of the proxy.")


def _media_type(ticking: Measurement) -> Finding:
    kind = ticking.headers.get("content-type", "").partition(";")[0]
    if kind == _MEDIA_TYPE:
        return Finding(False, f"Content-Type is {_MEDIA_TYPE}")
    return Finding(True, f"A proxy changed Content-Type to {kind or 'nothing'}", "EventSource refuses it: let it pass.")


def _compression(ticking: Measurement) -> Finding:
    encoding = ticking.headers.get("content-encoding", "")
    if not encoding:
        return Finding(False, "The response is not compressed")
    return Finding(
        True, f"A proxy compresses the response ({encoding}), which collects events until a block is full",
        "nginx: remove text/event-stream (and *) from gzip_types, or set `gzip off;` in this location."
        " Cloudflare: add a Compression Rule that disables it here.",
    )  # fmt: skip


def _buffering(ticking: Measurement, proxy: str) -> Finding:
    # The fastest event tells the difference of the clocks.
    worst = max(ticking.delays) - min(ticking.delays) if ticking.delays else 0.0
    if ticking.delays and worst <= MAX_DELAY:
        return Finding(False, f"Each event arrived within {worst:.1f} s")
    advice = (
        "nginx: `proxy_buffering off; proxy_http_version 1.1;` here, and no `proxy_ignore_headers X-Accel-Buffering;`."
    )
    if proxy != "nginx":
        advice += " Cloudflare, CloudFront, virus scanners: exclude this path from what inspects whole responses."
    return Finding(True, f"A proxy buffers: events arrived up to {worst:.1f} s late", advice)


def _life(ticking: Measurement) -> Finding:
    if ticking.is_complete:
        return Finding(False, f"A stream with an event a second lasts {ticking.lasted:.0f} s")
    reason = ticking.error or "end of stream"
    return Finding(
        True,
        f"A stream with an event a second was cut after {ticking.lasted:.0f} s ({reason})",
        "A limit on the whole duration, which clients survive by resuming: raise it in the ingress, function or CDN.",
    )


def _silence(quiet: Measurement, proxy: str) -> Finding:
    if quiet.is_complete:
        return Finding(False, f"A connection survives {quiet.silent} s of silence")
    needed = quiet.silent + 20
    advice = (
        f"Streams send an event every 2 to 3 s and are not affected, but `/api/chat` may be before its first byte."
        f" nginx: `proxy_read_timeout {needed}s;`. AWS load balancer: idle timeout {needed} s."
        " Cloudflare: at most 100 s (524), so use a stream."
    )
    after = f"after {quiet.lasted:.0f} s" if quiet.lasted < quiet.silent + 1 else "although the server had answered"
    by = f" by {proxy}" if proxy else ""
    return Finding(True, f"A connection with {quiet.silent} s of silence was cut{by} {after}", advice)
