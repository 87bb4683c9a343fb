"""Tests of the validation of attachments."""

from __future__ import annotations

import pytest

from persona_stream.core.content import Attachment, AttachmentType
from persona_stream.errors import InvalidRequest
from persona_stream.protocols.attachments import (
    MAX_NAME_CHARACTERS,
    MAX_URL_CHARACTERS,
    NativeAttachment,
    parse_attachment,
    parse_native,
)

PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACw="


@pytest.mark.parametrize(
    ("type", "url"),
    [
        ("image", PIXEL),
        ("image", "https://example.org/a.png?size=2&x=%20"),
        ("image", "http://10.0.0.7:8000/a.png"),  # of a provider in the same network
        ("image", "https://例え.jp/猫.png"),
        ("file", "data:application/vnd.openxmlformats-officedocument.wordprocessingml.document;base64,AAAA"),
        ("file", "data:text/plain;charset=utf-8;base64,AAA="),
        ("file", "data:image/png;base64,AAAA"),
        ("audio", "data:audio/ogg;codecs=opus;base64,AA=="),
    ],
)
def test_valid_urls_are_kept_as_they_are(type: AttachmentType, url: str) -> None:
    """Nothing is fetched, and nothing is decoded for the backend."""
    assert parse_attachment(url, "x", type=type) == Attachment(url, type=type)


@pytest.mark.parametrize(
    ("type", "url", "words"),
    [
        ("image", "", "must be the URL of an image"),
        ("image", "/etc/passwd", "must be the URL of an image"),
        ("image", "file:///etc/passwd", "must be the URL of an image"),
        ("image", "javascript:alert(1)", "must be the URL of an image"),
        ("image", "data:text/html;base64,AAAA", "must be the URL of an image"),
        ("audio", PIXEL, "must be the URL of a recording"),
        ("file", "data:;base64,AAAA", "must be the URL of a file"),
        ("file", "data:text/plain,Hello", "must be the URL of a file"),
        ("file", "data:text/plain\n;base64,AAAA", "must be the URL of a file"),
        ("file", f"data:text/plain{';a=b' * 5};base64,AAAA", "must be the URL of a file"),
        ("file", "DATA:text/plain;base64,AAAA", "must be the URL of a file"),
        ("image", "data:image/png;base64,", "has no content"),
        ("image", "data:image/png;base64,AAA", "base64 is invalid"),
        ("image", "data:image/png;base64,AAAA=", "base64 is invalid"),
        ("image", "data:image/png;base64,AA==AAAA", "base64 is invalid"),
        ("image", "data:image/png;base64,AA\nAA", "base64 is invalid"),
        ("image", "data:image/png;base64,AA-_", "base64 is invalid"),
        ("image", "data:image/png;base64,ääää", "base64 is invalid"),
        ("image", "https://user:secret@example.org/a.png", "must not contain a user name or a password"),
        ("image", "https://token@example.org/a.png", "must not contain a user name or a password"),
        ("image", "https://example.org/a b.png", "is not a valid address"),
        ("image", "https://example.org/a\r\nHost: x", "is not a valid address"),
        ("image", "https://[::1/a.png", "is not a valid address"),
        ("image", "https:///a.png", "is not a valid address"),
        ("image", "https://example.org:99999/a.png", "is not a valid address"),
        ("image", "https://example.org/" + "a" * MAX_URL_CHARACTERS, f"at most {MAX_URL_CHARACTERS} are allowed"),
    ],
)
def test_other_urls_are_rejected(type: AttachmentType, url: str, words: str) -> None:
    """The error names the place, and repeats nothing of the URL."""
    with pytest.raises(InvalidRequest, match=rf"^messages\[0\]: .*{words}") as caught:
        parse_attachment(url, "messages[0]", type=type)
    assert caught.value.field == "messages"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("Übersicht 猫 (2).png", "Übersicht 猫 (2).png"),
        ("Screenshot at 10.00.00\u202fPM.png", "Screenshot at 10.00.00\u202fPM.png"),  # macOS
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("C:\\a.txt", "C:_a.txt"),
        ("..", "_"),
        ("a\0b\n\x1b[31m", "a_b__[31m"),
        ("gpj\u202e.exe", "gpj_.exe"),  # shown as exe.jpg
        ("x" * 300, "x" * MAX_NAME_CHARACTERS),
        ("", None),
    ],
)
def test_names_are_safe_to_show_and_to_join(name: str, cleaned: str | None) -> None:
    """Clients of other protocols send paths and titles; a native request with such a name is rejected."""
    assert parse_attachment(PIXEL, "x", name=name).name == cleaned
    native = [NativeAttachment("image", PIXEL, name)]
    if cleaned in (name, None):
        assert parse_native(native) == (Attachment(PIXEL, name=cleaned),)
    else:
        with pytest.raises(InvalidRequest, match=r"^attachments\[0\]\.name: must be a file name without a path"):
            parse_native(native)


def test_a_native_error_names_the_attachment() -> None:
    """By its number, and by the field of the request."""
    with pytest.raises(InvalidRequest, match=r"^attachments\[1\]\.url: its base64 is invalid$") as caught:
        parse_native([NativeAttachment("image", PIXEL), NativeAttachment("file", "data:a/b;base64,A")])
    assert caught.value.field == "attachments"
