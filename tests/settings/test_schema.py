"""Settings: names, defaults, validation, and secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from persona_stream.errors import SettingsError
from persona_stream.settings.schema import SETTINGS, WITHDRAWN, Settings
from persona_stream.settings.types import convert, format_value

# Names that the first release promises.
PROMISED = """
host port backend executor threads timeout max_timeout profiles demo_seconds
jwt_secret jwt_public_key jwks_url jwt_algorithms jwt_audience jwt_issuer jwt_leeway
api_keys auth
cors_origins max_body_bytes max_answer_bytes disconnect_grace disconnect_grace_v1 retention retention_bytes drain
locale
log_level log_format
openai_base_url openai_api_key openai_model openai_stream openai_api
anthropic_base_url anthropic_api_key anthropic_model anthropic_max_tokens anthropic_stream
commit_window heartbeat
redis_url broker_url workers lease max_connection_age trusted_proxies
database_url state_dir log_bodies log_reasoning history_reasoning log_retention prices
cache cache_shared max_runs max_runs_shared max_runs_per_user max_queue queue_timeout rate_limit
"""


def test_every_promised_name_is_known() -> None:
    """The order is that of the documentation."""
    assert [setting.name for setting in SETTINGS] == PROMISED.split()
    assert WITHDRAWN == ("commit_window_stream", "heartbeat_override")


def test_the_defaults_are_the_promised_ones() -> None:
    """An empty configuration has these values."""
    settings = Settings()
    assert (settings.host, settings.port, settings.backend, settings.executor) == (
        "127.0.0.1",
        5001,
        "demo",
        "auto",
    )
    assert (settings.threads, settings.timeout, settings.demo_seconds) == (200, 150.0, 8.0)
    assert (settings.max_body_bytes, settings.max_answer_bytes) == (2**20, 2**24)
    assert (settings.disconnect_grace, settings.disconnect_grace_v1) == (30.0, 5.0)
    assert (settings.retention, settings.retention_bytes) == (900.0, 2**28)
    assert (settings.log_level, settings.log_format, settings.cors_origins) == ("info", "text", ("*",))
    assert (settings.max_runs, settings.max_runs_per_user, settings.max_queue) == (10_000, 100, 1000)
    assert (settings.queue_timeout, settings.lease, settings.log_retention) == (60.0, 15.0, 30 * 86_400.0)
    assert (settings.commit_window, settings.heartbeat, settings.workers) == (25.0, "comment", 1)


def test_every_default_is_valid_and_reads_back_from_its_text() -> None:
    """The listing shows values that can be copied into a file."""
    for setting in SETTINGS:
        text = format_value(setting.default, setting.annotation)
        for value in (setting.default, text):
            assert convert(value, setting.annotation) == setting.default, setting.name


def test_every_setting_has_a_description() -> None:
    """It fits into a cell of a table."""
    for setting in SETTINGS:
        assert setting.description
        assert not set(setting.description) & {"|", "\n"}, setting.name


def test_values_in_code_are_converted() -> None:
    """A list becomes a tuple, an integer a float, a text a path."""
    loose: dict[str, Any] = {"timeout": 2, "cors_origins": ["https://a.example"], "profiles": "p", "retention": "15m"}
    settings = Settings(**loose)
    assert repr(settings.timeout) == "2.0"
    assert (settings.cors_origins, settings.profiles, settings.retention) == (("https://a.example",), Path("p"), 900.0)


def test_settings_cannot_be_changed() -> None:
    """They are frozen."""
    with pytest.raises(AttributeError, match="immutable"):
        Settings().port = 1  # type: ignore[misc]  # the assignment must fail


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"port": 65536}, 'port must be a whole number from 0 to 65535, not "65536"'),
        ({"timeout": 0}, 'timeout must be a duration above 0 like 30, 1.5, 30s, 5m, 12h or 1d, not "0"'),
        ({"log_format": "yaml"}, 'log_format must be text or json, not "yaml"'),
        (
            {"trusted_proxies": "10.0.0.0/8,nginx"},
            'trusted_proxies must be a list of IP addresses or networks like 10.0.0.0/8 or ::1, not "10.0.0.0/8,nginx"',
        ),
        ({"jwt_algorithms": ["none"]}, None),
        ({"max_runs": 0}, None),
        ({"host": "a" * 100 + " "}, f'host must be a host name or an address, not "{"a" * 60}…"'),
        ({"host": "a\nb"}, "host must be a host name or an address"),
        (
            {"jwt_secret": "x" * 40, "jwks_url": "http://keys.example"},
            "jwt_secret and jwks_url are set, but tokens are verified with only one of them",
        ),
    ],
)
def test_a_wrong_value_is_reported_in_one_sentence(values: dict[str, Any], sentence: str | None) -> None:
    """It names the setting and the allowed values."""
    with pytest.raises(SettingsError) as caught:
        Settings(**values)
    assert sentence in (None, str(caught.value))
    assert str(caught.value).startswith(next(iter(values)))


SECRETS = ("jwt_secret", "openai_api_key", "anthropic_api_key", "redis_url", "broker_url", "database_url")


def test_these_are_the_secrets() -> None:
    """A new one is added here."""
    assert {setting.name for setting in SETTINGS if setting.secret} == set(SECRETS)


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("value", ["geheim-geheim-geheim", "geheim\n", "geheim" * 1000, "\udcffgeheim"])
def test_a_secret_is_never_shown(name: str, value: str) -> None:
    """Neither an error nor ``repr`` nor the listing contains it."""
    values: dict[str, Any] = {name: value}
    try:
        shown = repr(Settings(**values))
    except SettingsError as error:
        shown = str(error)
    assert "geheim" not in shown
    assert name in shown
    assert all("geheim" not in setting.format(value) for setting in SETTINGS if setting.name == name)


def test_a_password_in_a_wrong_address_is_not_shown() -> None:
    """Any setting can be a URL by mistake."""
    with pytest.raises(SettingsError, match=r"^openai_base_url must be .*https?://$"):
        Settings(openai_base_url="htps://user:geheim@api.example")


def test_repr_shows_the_changed_settings() -> None:
    """Secrets are hidden."""
    assert repr(Settings(port=0, timeout=2.5, jwt_secret="x" * 40)) == (
        "Settings(port=0, timeout=2.5, jwt_secret=(set, not shown))"
    )


@pytest.mark.parametrize(("drain", "time"), [(None, 150.0), (0.0, 0.0), (5.0, 5.0)])
def test_drain_is_the_deadline_when_unset(drain: float | None, time: float) -> None:
    """A run that starts just before the shutdown has its whole time."""
    assert Settings(drain=drain).drain_time == time
