"""Sanitising of untrusted text for a terminal.

Invariants:
    Sanitised text has no control characters but newline and tab, and none that reorder text; everything else is
    unchanged. A replaced character stays visible: ESC as ``␛``, CSI as ``<U+009B>``.
"""

import re

# C0 without \t and \n, DEL, C1 (obeyed in UTF-8 too), the embeddings, overrides and isolates of the bidirectional
# algorithm (CVE-2021-42574), and lone surrogates. Joiners and variation selectors of emoji, and the direction marks of
# Arabic and Hebrew, pass.
_C0 = "\x00-\x08\x0b-\x1f\x7f"
_C1_BIDI_SURROGATES = "\x80-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_DANGEROUS = re.compile(f"\r\n|[{_C0}{_C1_BIDI_SURROGATES}]")
_DANGEROUS_IN_JSON = re.compile(f"[\x7f{_C1_BIDI_SURROGATES}\u2028\u2029]")
_WHITESPACE = re.compile(r"\s+")


def sanitize(text: str) -> str:
    """Return the text with control and reordering characters made visible."""
    return _DANGEROUS.sub(_make_visible, text)


def sanitize_line(text: str) -> str:
    """Return the sanitised text on one line."""
    return sanitize(_WHITESPACE.sub(" ", text)).strip()


def sanitize_json(text: str) -> str:
    r"""Return equivalent JSON on one line, with ``\u`` escapes for control and reordering characters.

    Args:
        text: valid JSON, which has such characters only inside strings.
    """
    return _DANGEROUS_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _make_visible(match: re.Match[str]) -> str:
    if match[0] == "\r\n":
        return "\n"
    code = ord(match[0])
    if code == 0x7F:
        return "\u2421"
    if code < 0x20:
        return chr(0x2400 + code)
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else f"<U+{code:04X}>"
