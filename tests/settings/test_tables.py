"""Tables of backends in the settings file."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from persona_stream.errors import SettingsError
from persona_stream.settings.loader import load
from persona_stream.settings.schema import Named, Settings


def loaded(folder: Path, text: str) -> Settings:
    file = folder / "settings.toml"
    file.write_text(dedent(text), "utf-8")
    return load({}, {}, file)[0]


def test_a_table_says_in_what_a_backend_differs(tmp_path: Path) -> None:
    """All else is as outside of it; its own name is what clients call it, unless it says otherwise."""
    settings = loaded(
        tmp_path,
        """
        backend = "openai"
        openai_model = "quick"
        openai_api_key = "shared"

        [backends.default]
        fallback = "careful"

        [backends.careful]
        backend = "anthropic"
        anthropic_max_tokens = "100"
        models = ["careful", "slow"]

        [backends.other]
        openai_model = "other"
        """,
    )
    default, careful, other = settings.backends
    assert (default.models, default.fallback) == ((), "careful")
    assert (careful.models, other.models) == (("careful", "slow"), ("other",))
    assert settings.of(default) == Settings(backend="openai", openai_model="quick", openai_api_key="shared")
    assert settings.of(careful).backend == "anthropic"
    assert settings.of(careful).anthropic_max_tokens == 100
    assert (settings.of(other).openai_model, settings.of(other).openai_api_key) == ("other", "shared")
    assert settings.of(other).backends == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("backends = 5", ["backends in", "must be tables"]),
        ("[backends]\nopenai_model = 'x'", ["backends in", "must be tables"]),
        ("[backends.'a b']", ["[backends.a b]", "a backend's name"]),
        ("[backends.'']", ["a backend's name"]),
        ("[backends.a]\nopenai_modle = 'x'", ["openai_modle of [backends.a]", "did you mean openai_model?"]),
        ("[backends.a]\nport = 80", ["port of [backends.a]", "no setting of a backend"]),
        ("[backends.a]\nopenai_stream = 'perhaps'", ["openai_stream of [backends.a]", "must be on or off"]),
        ("[backends.a]\nbackend = 'demo'", ["cannot be demo"]),
        ("[backends.default]\nbackend = 'openai'", ["backend of [backends.default]", "outside of any table"]),
        ("[backends.a]\nfallback = 5", ["fallback of [backends.a]", "the name of a backend"]),
        ("[backends.a]\nfallback = 'b'", ["fallback in [backends.a]", "another backend (default)"]),
        ("[backends.a]\nfallback = 'a'", ["fallback in [backends.a]", "another backend (default)"]),
        ("[backends.a]\nmodels = 'x'", ["models of [backends.a]", "list of names"]),
        ("[backends.a]\nmodels = ['']", ["models of [backends.a]", "list of names"]),
        ("[backends.a]\nmodels = ['b']\n[backends.b]", ["'b' is in [backends.a] and in [backends.b]"]),
        ("[backends.a]\nopenai_base_url = 'https://user:hunter2@example.org x'", ["openai_base_url of [backends.a]"]),
    ],
)
def test_a_wrong_table_is_one_sentence(tmp_path: Path, text: str, words: list[str]) -> None:
    """It names the table, and never shows a secret."""
    with pytest.raises(SettingsError) as refused:
        loaded(tmp_path, text)
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)
    for word in words:
        assert word in str(refused.value)


def test_keys_in_tables_are_not_shown() -> None:
    """Settings are logged and printed."""
    settings = Settings(backends=(Named("a", {"openai_api_key": "hunter2"}),))
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in repr(settings.backends)
