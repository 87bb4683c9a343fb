"""Check the settings of a provider, and say which of them cannot work."""

from __future__ import annotations

from urllib.parse import urlsplit

from persona_stream.errors import StartError


def address(base_url: str | None, name: str, example: str) -> str:
    """Check the address of a provider, and give it without a slash at its end.

    Args:
        base_url: what is set.
        name: the backend that it is set for.
        example: one that would do.

    Raises:
        StartError: there is none, or none that can be reached.
    """
    if not base_url:
        raise StartError(
            f"the {name} backend needs the address of its provider: set {name}_base_url, for instance to {example}"
        )
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise StartError(f"{name}_base_url is no address: write it like {example}")
    if parts.username is not None or parts.query or parts.fragment:
        # They would be in every log line and error that names the address, and a name in it replaces the key.
        raise StartError(f"{name}_base_url has more than an address: leave out what is before @ and from ? or # on")
    return base_url.rstrip("/")


def key(api_key: str | None, name: str) -> str:
    """Check a key, and give it without the white space around it; empty, where there is none.

    Raises:
        StartError: it can be none.
    """
    stripped = (api_key or "").strip()
    # Caught by the HTTP library only at the first request, in a message that shows the key.
    if not (stripped.isascii() and stripped.isprintable() and " " not in stripped):
        raise StartError(f"{name}_api_key has characters that no key has: copy it again, without spaces or quotes")
    return stripped


def model(model: str | None, name: str) -> str:
    """Give the model.

    Raises:
        StartError: there is none.
    """
    if not model:
        raise StartError(f"the {name} backend needs to know its model: set {name}_model")
    return model
