"""Flags, environment and file.

Tables of backends in the settings file.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.errors import SettingsError
from persona_stream.settings.loader import load_settings, resolve
from persona_stream.settings.schema import SETTINGS, BackendConfig, Settings

RATE = "a rate like 60/minute, by the second, minute, hour or day, or off"


@pytest.fixture
def write(tmp_path: Path) -> Path:
    return tmp_path / "persona.toml"


def test_nothing_given_is_the_defaults() -> None:
    """Variables that are not ours are no matter, nor are flags that were not used."""
    assert load_settings({"port": None}, {"HOME": "/root", "PERSONA": "x"}, None) == (Settings(), [])


def test_a_flag_beats_the_environment_which_beats_the_file(write: Path) -> None:
    """Each setting comes from the first place that has it, and the place is known."""
    write.write_text('port = 1\ntimeout = "1m"\nthreads = 3\nheartbeat_override = true\n')
    environ = {"PERSONA_STREAM_PORT": "2", "PERSONA_STREAM_TIMEOUT": "2m"}
    assert load_settings({"port": "3"}, environ, write)[0] == Settings(port=3, timeout=120.0, threads=3)
    assert {name: one.where for name, one in resolve({"port": "3"}, environ, write)[0].items()} == {
        "port": "--port",
        "timeout": "PERSONA_STREAM_TIMEOUT",
        "threads": f"threads in {write}",
        "heartbeat_override": f"heartbeat_override in {write}",
    }


def test_the_file_has_types_of_its_own(write: Path) -> None:
    """TOML's numbers, lists and switches are taken as they are, and ``false`` turns an optional thing off."""
    write.write_text(
        'cors_origins = ["https://a.example", "https://b.example"]\nmax_body_bytes = "2 MiB"\n'
        "disconnect_grace = false\ntimeout = 1.5\nopenai_stream = false\n"
    )
    assert load_settings({}, {}, write)[0] == Settings(
        cors_origins=("https://a.example", "https://b.example"),
        disconnect_grace=None,
        max_body_bytes=2**21,
        timeout=1.5,
    )


def test_an_empty_value_turns_an_optional_thing_off(write: Path) -> None:
    """An empty flag takes back what the environment says, and an empty variable what the file says."""
    write.write_text('jwt_issuer = "me"\n')
    environ = {"PERSONA_STREAM_JWT_ISSUER": "", "PERSONA_STREAM_JWT_SECRET": "x" * 40}
    assert load_settings({"jwt_secret": "", "cors_origins": ""}, environ, write)[0] == Settings(cors_origins=())


def test_the_environment_may_name_the_file(write: Path, tmp_path: Path) -> None:
    """For containers; ``--config`` beats it, and an empty one is none."""
    write.write_text("port = 1")
    (tmp_path / "other.toml").write_text("port = 2")
    environ = {"PERSONA_STREAM_CONFIG": str(write)}
    assert load_settings({}, environ, None)[0].port == 1
    assert load_settings({}, environ, tmp_path / "other.toml")[0].port == 2
    assert load_settings({}, {"PERSONA_STREAM_CONFIG": ""}, None)[0] == Settings()


def test_the_chat_clients_variable_is_not_a_setting() -> None:
    """A shell that talks to a server can also start one."""
    assert load_settings({}, {"PERSONA_STREAM_TOKEN": "eyJ…"}, None) == (Settings(), [])


@pytest.mark.parametrize(
    ("flags", "environ", "toml", "sentence"),
    [
        ({"max_run": "1"}, {}, "", "--max-run is not a setting: did you mean --max-runs?"),
        ({"xyz": None}, {}, "", "--xyz is not a setting: `persona-stream settings` lists those there are"),
        (
            {},
            {"PERSONA_STREAM_MAX_RUN": "1"},
            "",
            "PERSONA_STREAM_MAX_RUN is not a setting: did you mean PERSONA_STREAM_MAX_RUNS?",
        ),
        (
            {},
            {"PERSONA_STREAM_max_runs": "1"},
            "",
            "PERSONA_STREAM_max_runs is not a setting: did you mean PERSONA_STREAM_MAX_RUNS?",
        ),
        (
            {},
            {"PERSONA_STREAM_CONFG": "a"},
            "",
            "PERSONA_STREAM_CONFG is not a setting: did you mean PERSONA_STREAM_CONFIG?",
        ),
        ({}, {}, "max-runs = 1", "max-runs in FILE is not a setting: did you mean max_runs?"),
        (
            {},
            {},
            "[server]\nport = 1",
            "server in FILE is not a setting: `persona-stream settings` lists those there are",
        ),
        ({"port": "abc"}, {}, "", '--port must be a whole number from 0 to 65535, not "abc"'),
        (
            {},
            {"PERSONA_STREAM_PORT": ""},
            "",
            'PERSONA_STREAM_PORT must be a whole number from 0 to 65535, not ""',
        ),
        ({}, {}, "port = 80.5", 'port in FILE must be a whole number from 0 to 65535, not "80.5"'),
        ({}, {}, "port = 2026-11-20", 'port in FILE must be a whole number from 0 to 65535, not "2026-11-20"'),
        (
            {},
            {},
            "timeout = nan",
            'timeout in FILE must be a duration above 0 like 30, 1.5, 30s, 5m, 12h or 1d, not "nan"',
        ),
        (
            {"rate_limit": "9/fortnight"},
            {},
            "",
            f'--rate-limit must be {RATE}, not "9/fortnight"',
        ),
        (
            {},
            {"PERSONA_STREAM_DATABASE_URL": "mysql://:geheim@h"},
            "",
            "PERSONA_STREAM_DATABASE_URL must be an address that begins with sqlite:/// or postgresql://, or off",
        ),
        (
            {},
            {"PERSONA_STREAM_OPENAI_API_KEY": "geheim\n"},
            "",
            "PERSONA_STREAM_OPENAI_API_KEY must be a line of text without control characters",
        ),
        (
            {"port": "1"},
            {"PERSONA_STREAM_PORT": "x"},
            "",
            'PERSONA_STREAM_PORT must be a whole number from 0 to 65535, not "x"',
        ),
        ({}, {}, "port = ", "The settings file FILE is not TOML: Invalid value (at end of document)"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    flags: dict[str, str | None], environ: dict[str, str], toml: str, sentence: str, write: Path
) -> None:
    """It names the flag, variable or key as it was written, and where one is close, the right name."""
    write.write_text(toml)
    with pytest.raises(SettingsError) as caught:
        load_settings(flags, environ, write)
    assert str(caught.value).replace(str(write), "FILE") == sentence


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Whether it is missing, a folder, or not text."""
    (tmp_path / "latin").write_bytes(b'host = "\xff"')
    for name, why in (("none", "No such file or directory"), (".", "Is a directory"), ("latin", "it is not UTF-8")):
        with pytest.raises(SettingsError, match=why):
            load_settings({}, {}, tmp_path / name)


INJECTED = {
    "PERSONA_STREAM_SERVICE_HOST": "10.96.0.7",
    "PERSONA_STREAM_SERVICE_PORT": "80",
    "PERSONA_STREAM_SERVICE_PORT_HTTP": "80",
    "PERSONA_STREAM_PORT": "tcp://10.96.0.7:80",
    "PERSONA_STREAM_PORT_80_TCP": "tcp://10.96.0.7:80",
    "PERSONA_STREAM_PORT_80_TCP_PROTO": "tcp",
    "PERSONA_STREAM_PORT_80_TCP_PORT": "80",
    "PERSONA_STREAM_PORT_80_TCP_ADDR": "10.96.0.7",
    "PERSONA_STREAM_REDIS_SERVICE_HOST": "10.96.0.8",
    "PERSONA_STREAM_REDIS_SERVICE_PORT_TCP_REDIS": "6379",
    "PERSONA_STREAM_REDIS_PORT": "tcp://10.96.0.8:6379",
    "PERSONA_STREAM_REDIS_PORT_6379_TCP_ADDR": "10.96.0.8",
}


def test_what_kubernetes_injects_is_ignored_with_a_warning() -> None:
    """A Service called persona-stream, or one beside it, does not keep the server from starting."""
    settings, warnings = load_settings({}, INJECTED, None)
    assert settings == Settings()
    assert len(warnings) == 1
    assert all(variable in warnings[0] for variable in INJECTED)


@pytest.mark.parametrize("name", ["PERSONA_STREAM_REDIS_PORT", "PERSONA_STREAM_SERVIC_HOST", "PERSONA_STREAM_PORTS"])
def test_what_only_looks_like_kubernetes_is_not(name: str) -> None:
    """A typing error stays one."""
    with pytest.raises(SettingsError, match=f"^{name} is not a setting"):
        load_settings({}, {name: "6379"}, None)


@given(st.sampled_from([setting.name for setting in SETTINGS]), st.text())
def test_any_text_is_taken_or_refused_in_one_sentence(name: str, text: str) -> None:
    """Nothing that stands in a variable makes the start fail in another way."""
    said = ""
    try:
        load_settings({}, {f"PERSONA_STREAM_{name.upper()}": text}, None)
    except SettingsError as error:
        said = str(error)
    assert said == "" or said.startswith(f"PERSONA_STREAM_{name.upper()} ")
    assert said.isprintable()


def loaded(folder: Path, text: str) -> Settings:
    file = folder / "settings.toml"
    file.write_text(dedent(text), "utf-8")
    return load_settings({}, {}, file)[0]


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
    assert settings.for_backend(default) == Settings(backend="openai", openai_model="quick", openai_api_key="shared")
    assert settings.for_backend(careful).backend == "anthropic"
    assert settings.for_backend(careful).anthropic_max_tokens == 100
    assert (settings.for_backend(other).openai_model, settings.for_backend(other).openai_api_key) == ("other", "shared")
    assert settings.for_backend(other).backends == ()


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
    settings = Settings(backends=(BackendConfig("a", {"openai_api_key": "hunter2"}),))
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in repr(settings.backends)
