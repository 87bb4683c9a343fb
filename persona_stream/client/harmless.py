"""Make text from outside harmless for a terminal.

The law: what comes out holds no control character but newline and tab, and nothing that reorders text; and
harmless text comes out as it went in. What was dangerous stays visible: ESC as ``␛``, CSI as ``<U+009B>``.
"""

from __future__ import annotations

import re

# C0 without \t and \n, DEL, C1 (a terminal in UTF-8 obeys those too), the embeddings, overrides and isolates of
# the bidirectional algorithm (CVE-2021-42574), and lone surrogates, which no encoding can write. The joiners and
# variation selectors of emoji, and the plain direction marks of Arabic and Hebrew, are left alone.
_C0 = "\x00-\x08\x0b-\x1f\x7f"
_OTHERS = "\x80-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_DANGEROUS = re.compile(f"\r\n|[{_C0}{_OTHERS}]")
_IN_JSON = re.compile(f"[\x7f{_OTHERS}\u2028\u2029]")
_SPACES = re.compile(r"\s+")


def harmless(text: str) -> str:
    """Give the text without anything that moves the cursor, rings, changes the terminal, or reorders."""
    return _DANGEROUS.sub(_visible, text)


def one_line(text: str) -> str:
    """Give the text harmless, and on one line: a status, not an answer."""
    return harmless(_SPACES.sub(" ", text)).strip()


def harmless_json(text: str) -> str:
    r"""Give JSON of the same meaning, with ``\u`` escapes for what a terminal, or a reader of lines, could take amiss.

    Args:
        text: valid JSON. It has such characters only in its strings, where an escape may stand for each.
    """
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _visible(found: re.Match[str]) -> str:
    if found[0] == "\r\n":
        return "\n"
    code = ord(found[0])
    if code == 0x7F:
        return "\u2421"
    if code < 0x20:
        return chr(0x2400 + code)
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else f"<U+{code:04X}>"
