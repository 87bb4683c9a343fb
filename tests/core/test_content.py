"""Tests of attachments, and of the sanitising of untrusted text."""

from __future__ import annotations

import base64

import pytest

from persona_stream.core.content import MAX_SLICE_CHARACTERS, Attachment, join_surrogates, replace_unencodable, slices

LONG = "é" * (2 * MAX_SLICE_CHARACTERS + 1)


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        ("plain", "plain"),
        ("", ""),
        ("a\0b", "a\ufffdb"),
        ("é\0\ud83d", "é\ufffd\ufffd"),
        ("\udc00😀", "\ufffd😀"),
        (LONG, LONG),
        (f"{LONG}\ud83d{LONG}", f"{LONG}\ufffd{LONG}"),
    ],
)
def test_only_what_no_wire_carries_is_replaced(text: str, replaced: str) -> None:
    """One character by one, so that positions stay."""
    assert replace_unencodable(text) == replaced


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("plain", "plain"),
        ("é", "é"),
        ("\ud83d\ude00", "😀"),
        ("\ude00\ud83d", "\ude00\ud83d"),
        ("\ud83d\ud83d\ude00\0\ude00é😀", "\ud83d😀\0\ude00é😀"),
    ],
)
def test_pairs_of_surrogates_are_joined(text: str, joined: str) -> None:
    """Lone ones stay."""
    assert join_surrogates(text) == joined


@pytest.mark.parametrize("text", ["", "short", LONG])
def test_slices_join_to_the_text(text: str) -> None:
    """An empty text has one, which is empty."""
    parts = list(slices(text))
    assert "".join(parts) == text
    assert [len(part) for part in parts[:-1]] == [MAX_SLICE_CHARACTERS] * (len(parts) - 1)
    assert len(parts[-1]) <= MAX_SLICE_CHARACTERS


def test_the_content_of_an_attachment():
    """It is in the URL, or elsewhere."""
    file = Attachment("data:text/plain;charset=utf-8;base64,SMOpbGxv", type="file", name="a.txt")
    assert (file.media_type, file.data, file.text, file.size) == ("text/plain", b"H\xc3\xa9llo", "Héllo", 6)
    assert (file.note, Attachment("https://example.org/a").note) == ("[file: a.txt]", "[image]")
    address = Attachment("https://example.org/a.txt", type="file")
    assert (address.media_type, address.data, address.text, address.size, address.encoded) == ("", None, None, None, "")


@pytest.mark.parametrize(
    ("media_type", "data", "text"),
    [
        ("application/json", "e30=", "{}"),
        ("image/svg+xml", "e30=", None),
        ("application/atom+xml", "e30=", "{}"),
        ("application/pdf", "e30=", None),
        ("text/plain", "/w==", None),  # not UTF-8
        ("text/plain", "x", None),  # not base64
    ],
)
def test_the_text_of_a_file(media_type: str, data: str, text: str | None):
    """If it is one."""
    assert Attachment(f"data:{media_type};base64,{data}", type="file").text == text


@pytest.mark.parametrize("size", range(1, 8))
def test_the_size_needs_no_decoding(size: int):
    """Whatever the padding."""
    assert Attachment(f"data:a/b;base64,{base64.b64encode(bytes(size)).decode()}").size == size
