"""Settings from flags, environment and file, and tables of backends in the file."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.errors import SettingsError
from persona_stream.settings.loader import load_settings
from persona_stream.settings.schema import SETTINGS, BackendConfig, EndpointConfig, Settings

RATE = "a rate per second, minute, hour or day, like 60/minute, or off"


@pytest.fixture
def write(tmp_path: Path) -> Path:
    return tmp_path / "persona.toml"


def test_without_any_source_the_defaults_hold() -> None:
    """Other variables are ignored, and so are flags that are not given."""
    assert load_settings({"port": None}, {"HOME": "/root", "PERSONA": "x"}, None) == (Settings(), [], {})


def test_a_flag_beats_the_environment_which_beats_the_file(write: Path) -> None:
    """Each setting comes from the first source that has it, and names that source."""
    write.write_text('port = 1\ntimeout = "1m"\nthreads = 3\nlog_bodies = true\n')
    environ = {"PERSONA_STREAM_PORT": "2", "PERSONA_STREAM_TIMEOUT": "2m"}
    loaded = load_settings({"port": "3"}, environ, write)
    assert loaded.settings == Settings(port=3, timeout=120.0, threads=3)
    assert loaded.sources == {
        "port": "--port",
        "timeout": "PERSONA_STREAM_TIMEOUT",
        "threads": f"threads in {write}",
        "log_bodies": f"log_bodies in {write}",
    }


def test_the_file_can_use_the_types_of_toml(write: Path) -> None:
    """Numbers, lists and booleans are accepted, and ``false`` turns an optional setting off."""
    write.write_text(
        'cors_origins = ["https://a.example", "https://b.example"]\nmax_body_bytes = "2 MiB"\n'
        "disconnect_grace = false\ntimeout = 1.5\nopenai_stream = false\n"
    )
    assert load_settings({}, {}, write).settings == Settings(
        cors_origins=("https://a.example", "https://b.example"),
        disconnect_grace=None,
        max_body_bytes=2**21,
        timeout=1.5,
    )


def test_the_file_may_begin_with_a_byte_order_mark(write: Path) -> None:
    """Editors of Windows write one."""
    write.write_bytes(b"\xef\xbb\xbfport = 80\n")
    assert load_settings({}, {}, write).settings.port == 80


def test_an_empty_value_turns_an_optional_setting_off(write: Path) -> None:
    """An empty flag overrides the environment, and an empty variable the file."""
    write.write_text('jwt_issuer = "me"\n')
    environ = {"PERSONA_STREAM_JWT_ISSUER": "", "PERSONA_STREAM_JWT_SECRET": "x" * 40}
    assert load_settings({"jwt_secret": "", "cors_origins": ""}, environ, write).settings == Settings(cors_origins=())


def test_the_environment_can_name_the_file(write: Path, tmp_path: Path) -> None:
    """``--config`` overrides it, and an empty variable names none."""
    write.write_text("port = 1")
    (tmp_path / "other.toml").write_text("port = 2")
    environ = {"PERSONA_STREAM_CONFIG": str(write)}
    assert load_settings({}, environ, None).settings.port == 1
    assert load_settings({}, environ, tmp_path / "other.toml").settings.port == 2
    assert load_settings({}, {"PERSONA_STREAM_CONFIG": ""}, None).settings == Settings()


def test_the_chat_clients_variable_is_not_a_setting() -> None:
    """A shell with the client's token can also start a server."""
    assert load_settings({}, {"PERSONA_STREAM_TOKEN": "eyJ…"}, None) == (Settings(), [], {})


@pytest.mark.parametrize(
    ("flags", "environ", "toml", "sentence"),
    [
        ({"max_run": "1"}, {}, "", "--max-run is not a setting: did you mean --max-runs?"),
        ({"xyz": None}, {}, "", "--xyz is not a setting: `persona-stream settings` lists them all"),
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
        ({}, {}, "[server]\nport = 1", "server in FILE is not a setting: `persona-stream settings` lists them all"),
        ({"port": "abc"}, {}, "", '--port must be a whole number from 0 to 65535, not "abc"'),
        ({}, {"PERSONA_STREAM_PORT": ""}, "", 'PERSONA_STREAM_PORT must be a whole number from 0 to 65535, not ""'),
        ({}, {}, "port = 80.5", 'port in FILE must be a whole number from 0 to 65535, not "80.5"'),
        ({}, {}, "port = 2026-11-20", 'port in FILE must be a whole number from 0 to 65535, not "2026-11-20"'),
        (
            {},
            {},
            "timeout = nan",
            'timeout in FILE must be a duration above 0 like 30, 1.5, 30s, 5m, 12h or 1d, not "nan"',
        ),
        ({"rate_limit": "9/fortnight"}, {}, "", f'--rate-limit must be {RATE}, not "9/fortnight"'),
        (
            {},
            {"PERSONA_STREAM_DATABASE_URL": "mysql://:geheim@h"},
            "",
            "PERSONA_STREAM_DATABASE_URL must be a URL that begins with sqlite:/// or postgresql://, or off",
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
        ({}, {}, "port = ", "The settings file FILE is not valid TOML: Invalid value (at end of document)"),
    ],
)
def test_a_mistake_is_reported_in_one_sentence(
    flags: dict[str, str | None], environ: dict[str, str], toml: str, sentence: str, write: Path
) -> None:
    """It names the flag, variable or key as written, and the right name if one is close."""
    write.write_text(toml)
    with pytest.raises(SettingsError) as caught:
        load_settings(flags, environ, write)
    assert str(caught.value).replace(str(write), "FILE") == sentence


def test_an_unreadable_file_is_named_with_the_reason(tmp_path: Path) -> None:
    """It is missing, a directory, or not UTF-8."""
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


def test_variables_of_kubernetes_services_are_ignored_with_a_warning() -> None:
    """A Service named persona-stream, or with that prefix, does not prevent the start."""
    settings, warnings, _ = load_settings({}, INJECTED, None)
    assert settings == Settings()
    assert len(warnings) == 1
    assert all(variable in warnings[0] for variable in INJECTED)


@pytest.mark.parametrize("name", ["PERSONA_STREAM_REDIS_PORT", "PERSONA_STREAM_SERVIC_HOST", "PERSONA_STREAM_PORTS"])
def test_variables_that_resemble_those_of_kubernetes_are_unknown(name: str) -> None:
    """A typing error is still reported."""
    with pytest.raises(SettingsError, match=f"^{name} is not a setting"):
        load_settings({}, {name: "6379"}, None)


def test_withdrawn_settings_are_ignored_with_one_warning(write: Path) -> None:
    """Old files, scripts and environments keep working."""
    write.write_text("heartbeat_override = false\nport = 1\n")
    environ = {"PERSONA_STREAM_COMMIT_WINDOW_STREAM": "2s"}
    settings, warnings, _ = load_settings({"heartbeat_override": "off", "commit_window_stream": None}, environ, write)
    assert settings == Settings(port=1)
    assert [warning.replace(str(write), "FILE") for warning in warnings] == [
        "Ignored heartbeat_override in FILE, PERSONA_STREAM_COMMIT_WINDOW_STREAM, --heartbeat-override: "
        "withdrawn, and without effect"
    ]


@given(st.sampled_from([setting.name for setting in SETTINGS]), st.text())
def test_any_text_is_accepted_or_refused_in_one_sentence(name: str, text: str) -> None:
    """No text in a variable makes the start fail in another way."""
    message = ""
    try:
        load_settings({}, {f"PERSONA_STREAM_{name.upper()}": text}, None)
    except SettingsError as error:
        message = str(error)
    assert message == "" or message.startswith(f"PERSONA_STREAM_{name.upper()} ")
    assert message.isprintable()


def load_toml(folder: Path, text: str) -> Settings:
    file = folder / "settings.toml"
    file.write_text(dedent(text), "utf-8")
    return load_settings({}, {}, file).settings


def test_a_table_has_the_settings_in_which_a_backend_differs(tmp_path: Path) -> None:
    """Clients request it by the name of the table unless it lists models."""
    settings = load_toml(
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
        ("[backends.'a b']", ["[backends.a b]", "the name must have"]),
        ("[backends.'']", ["the name must have"]),
        ("[backends.a]\nopenai_modle = 'x'", ["openai_modle of [backends.a]", "did you mean openai_model?"]),
        ("[backends.a]\nport = 80", ["port of [backends.a]", "not a setting of a backend"]),
        ("[backends.a]\nopenai_stream = 'perhaps'", ["openai_stream of [backends.a]", "must be on or off"]),
        ("[backends.a]\nbackend = 'demo'", ["must not be demo"]),
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
def test_a_mistake_in_a_table_is_reported_in_one_sentence(tmp_path: Path, text: str, words: list[str]) -> None:
    """It names the table and contains no secret."""
    with pytest.raises(SettingsError) as refused:
        load_toml(tmp_path, text)
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)
    for word in words:
        assert word in str(refused.value)


def test_keys_in_tables_are_not_shown() -> None:
    """Neither ``repr`` contains them."""
    settings = Settings(backends=(BackendConfig("a", {"openai_api_key": "hunter2"}),))
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in repr(settings.backends)


def test_an_endpoint_has_limits_of_its_own(write: Path) -> None:
    """In the forms of the settings; the server's own apply otherwise."""
    write.write_text(
        'timeout = "1m"\n[endpoints."/api/stream_chat_smart"]\ntimeout = "5m"\nrate_limit = "10/minute"\ninterval = 1\n'
        'chunk_size = 40\npause = 0\n[endpoints."/api/chat"]\nrate_limit = "off"\n'
    )
    settings = load_settings({}, {}, write).settings
    path = "/api/stream_chat_smart"
    assert settings.endpoint(path) == EndpointConfig(path, 300.0, "10/minute", 1.0, 40, 0.0)
    assert settings.endpoint("/api/chat") == EndpointConfig("/api/chat", rate_limit="off")
    assert settings.endpoint("/v1/messages") == EndpointConfig("/v1/messages")
    assert (settings.max_request_timeout, settings.longest_timeout, settings.drain_time) == (60.0, 300.0, 300.0)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("intervall = 1", "intervall of .* is not a setting of an endpoint: did you mean interval?"),
        ("port = 1", "port of .* is not a setting of an endpoint: use timeout, rate_limit"),
        ("interval = 0.01", 'interval of .* must be a duration from 0.1 to 60 seconds, not "0.01"'),
        ("timeout = 0", "timeout of .* must be a duration above 0"),
        ("pause = 11", "pause of .* must be a duration of at most 10 seconds"),
        ("chunk_size = 0", "chunk_size of .* must be a whole number from 1 to 1000"),
        ('rate_limit = "many"', "rate_limit of .* must be a rate per second"),
        ('rate_limit = "redis://:secret@host"', '^rate_limit of .*"/api/chat".* must be a rate per second[^@]*$'),
    ],
)
def test_a_wrong_limit_of_an_endpoint_is_named(write: Path, line: str, sentence: str) -> None:
    """With its address and the right form."""
    write.write_text(f'[endpoints."/api/chat"]\n{line}\n')
    with pytest.raises(SettingsError, match=sentence):
        load_settings({}, {}, write)
    write.write_text("endpoints = 1\n")
    with pytest.raises(SettingsError, match="must be tables"):
        load_settings({}, {}, write)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('status_messages = "x"\n', r"\[status_messages\] in .* must be a table of lists"),
        ('[status_messages]\nJapanese = ["x"]\n', "'Japanese' is not the code of a language"),
        (
            "[status_messages]\nja = []\n",
            r"ja of \[status_messages\] .* must be a list of texts of 1 to 200 characters",
        ),
        ('[status_messages]\nja = ["x", " "]\n', "must be a list of texts"),
        ('[status_messages]\nja = "x"\n', "must be a list of texts"),
    ],
)
def test_wrong_status_texts_are_named(write: Path, text: str, sentence: str) -> None:
    """With the language; the same from code."""
    write.write_text(text)
    with pytest.raises(SettingsError, match=sentence):
        load_settings({}, {}, write)
    with pytest.raises(SettingsError, match="ja of status_messages must be a list"):
        Settings(status_messages={"ja": ("",)})
