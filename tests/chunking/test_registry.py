"""Registry of chunkers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from persona_stream.chunking.chunkers import words
from persona_stream.chunking.registry import _chunkers, get_chunker, names, register


@pytest.fixture(autouse=True)
def _restore_registry() -> Iterator[None]:
    before = dict(_chunkers)
    yield
    _chunkers.clear()
    _chunkers.update(before)


def test_three_chunkers_are_bundled() -> None:
    """They are registered under the names of the wire format."""
    assert names() == ("characters", "words", "sentences")
    assert get_chunker("words") is words


def test_a_custom_chunker_can_be_registered() -> None:
    """It is found by its name, and the invariants are enforced."""
    register("lines", lambda text: text.split("\n") if "\n" not in text else text.splitlines(keepends=True))
    register("letters", list)
    assert names()[3:] == ("lines", "letters")
    assert get_chunker("lines")("a\nb\n\nc") == ["a\n", "b\n", "\n", "c"]
    assert get_chunker("letters")("né e\u0301") == ["n", "é", " ", "e\u0301"]


@pytest.mark.parametrize("name", ["", "Words", "two words", "1st", "-x", "x" * 65, "wörter", "a\n"])
def test_an_invalid_name_is_rejected(name: str) -> None:
    """A name must be usable in a request."""
    with pytest.raises(ValueError, match="invalid chunker name"):
        register(name, list)


def test_a_name_can_be_registered_once() -> None:
    """The second registration raises ValueError."""
    with pytest.raises(ValueError, match="the chunker 'words' is already registered"):
        register("words", list)


def test_a_chunker_must_be_callable() -> None:
    """Registration fails, not the first answer."""
    with pytest.raises(TypeError, match="the chunker 'lines' must be callable, not str"):
        register("lines", "lines")  # type: ignore[arg-type]  # the wrong type is the case under test


def test_an_unknown_name_raises_an_error_with_the_known_names() -> None:
    """The error is a KeyError with a readable message."""
    with pytest.raises(KeyError) as caught:
        get_chunker("lines")
    assert str(caught.value) == "unknown chunker 'lines': use one of characters, words, sentences"


@pytest.mark.parametrize("name", ["characters", "words"])
def test_a_chunker_can_have_another_size(name: str) -> None:
    """The invariants hold for it; sentences have no size."""
    text = "Every word of this text has some characters, and 你好，世界！ has some more of them. " * 3
    for size in (1, 7, 100, 1000):
        chunks = get_chunker(name, size)(text)
        assert "".join(chunks) == text
        assert all(chunks)
    assert len(get_chunker(name, 100)(text)) < len(get_chunker(name)(text)) < len(get_chunker(name, 1)(text))
    assert get_chunker("sentences", 100)(text) == get_chunker("sentences")(text)
