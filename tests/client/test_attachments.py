"""Tests of attachments from files and addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from persona_stream.client.attachments import load_attachment
from persona_stream.client.models import InvalidArgument
from persona_stream.core.content import Attachment


@pytest.mark.parametrize(
    ("name", "content", "type", "url"),
    [
        ("cat.png", b"\x89PNG", "image", "data:image/png;base64,iVBORw=="),
        ("cat.webp", b"RIFF", "image", "data:image/webp;base64,UklGRg=="),
        ("drawing.svg", b"<svg/>", "file", "data:image/svg+xml;base64,PHN2Zy8+"),
        ("song.mp3", b"ID3", "audio", "data:audio/mpeg;base64,SUQz"),
        ("report.pdf", b"%PDF", "file", "data:application/pdf;base64,JVBERg=="),
        ("logs.tar.gz", b"\x1f\x8b", "file", "data:application/octet-stream;base64,H4s="),
        ("Makefile", b"all:\n", "file", "data:text/plain;base64,YWxsOgo="),
        ("core", b"\0\1", "file", "data:application/octet-stream;base64,AAE="),
        ("latin", b"\xe9", "file", "data:application/octet-stream;base64,6Q=="),
    ],
)
def test_a_file_is_sent_with_its_type_and_name(tmp_path: Path, name: str, content: bytes, type, url: str):
    """By its name; a file without a known ending is a text if it can be one."""
    (tmp_path / name).write_bytes(content)
    assert load_attachment(str(tmp_path / name)) == Attachment(url, type=type, name=name)


@pytest.mark.parametrize(
    ("address", "type"),
    [
        ("https://example.org/a.png?size=2", "image"),
        ("https://example.org/a.wav", "audio"),
        ("https://example.org/", "file"),
        ("http://example.org/", "file"),  # for the server to refuse
    ],
)
def test_an_address_is_sent_as_it_is(address: str, type):
    """Without a name."""
    assert load_attachment(address) == Attachment(address, type=type)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path):
    """With the reason."""
    with pytest.raises(InvalidArgument, match=r"^attachment_unreadable$") as caught:
        load_attachment(str(tmp_path / "none.png"))
    assert caught.value.values == {"file": str(tmp_path / "none.png"), "reason": "No such file or directory"}
