"""The object that holds every setting."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from persona_stream.errors import SettingsError
from persona_stream.settings.schema import SETTINGS, Settings

# What the first release promises: every one of these names is known from then on.
PROMISED = """
host port backend executor threads timeout profiles demo_seconds
jwt_secret jwt_public_key jwks_url jwt_algorithms jwt_audience jwt_issuer jwt_leeway
cors_origins max_body_bytes max_answer_bytes disconnect_grace disconnect_grace_v1 retention retention_bytes drain
log_level log_format
openai_base_url openai_api_key openai_model openai_stream
anthropic_base_url anthropic_api_key anthropic_model anthropic_max_tokens anthropic_stream
commit_window commit_window_stream heartbeat_override
redis_url workers lease max_connection_age trusted_proxies
database_url state_dir log_bodies log_reasoning log_retention prices
max_runs max_runs_shared max_runs_per_user max_queue queue_timeout rate_limit
"""


def test_every_promised_name_is_known() -> None:
    """The table has these names, in this order, and no others."""
    assert [setting.name for setting in SETTINGS] == PROMISED.split()


def test_the_defaults_are_the_promised_ones() -> None:
    """A program that sets nothing gets these."""
    settings = Settings()
    assert (settings.host, settings.port, settings.backend, settings.executor) == (
        "127.0.0.1",
        5001,
        "demo",
        "greenlet",
    )
    assert (settings.threads, settings.timeout, settings.demo_seconds) == (64, 150.0, 8.0)
    assert (settings.max_body_bytes, settings.max_answer_bytes) == (2**20, 2**24)
    assert (settings.disconnect_grace, settings.disconnect_grace_v1) == (30.0, 5.0)
    assert (settings.retention, settings.retention_bytes) == (900.0, 2**28)
    assert (settings.log_level, settings.log_format, settings.cors_origins) == ("info", "text", ("*",))
    assert (settings.max_runs, settings.max_runs_per_user, settings.max_queue) == (10_000, 100, 1000)
    assert (settings.queue_timeout, settings.lease, settings.log_retention) == (60.0, 15.0, 30 * 86_400.0)
    assert (settings.commit_window, settings.commit_window_stream, settings.workers) == (None, 0.0, 1)


def test_every_default_is_a_value_of_its_kind() -> None:
    """Each default passes its own check, and reads back from how it is shown."""
    for setting in SETTINGS:
        assert setting.kind.take(setting.default) == setting.default, setting.name
        assert setting.kind.take(setting.kind.show(setting.default)) == setting.default, setting.name


def test_every_setting_says_what_it_means() -> None:
    """Each has one line that fits a cell of a table."""
    for setting in SETTINGS:
        assert setting.about.text
        assert not set(setting.about.text) & {"|", "\n"}, setting.name


def test_values_in_code_get_their_one_type() -> None:
    """A list becomes a tuple, whole seconds a float, a string a path: whoever reads them need not ask."""
    loose: dict[str, Any] = {"timeout": 2, "cors_origins": ["https://a.example"], "profiles": "p", "retention": "15m"}
    settings = Settings(**loose)
    assert repr(settings.timeout) == "2.0"
    assert (settings.cors_origins, settings.profiles, settings.retention) == (("https://a.example",), Path("p"), 900.0)


def test_settings_cannot_be_changed() -> None:
    """They are read once and passed on."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]  # that is the point


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
            "jwt_secret and jwks_url are set, and only one of them can say who may come in",
        ),
    ],
)
def test_a_wrong_value_is_one_sentence(values: dict[str, Any], sentence: str | None) -> None:
    """It names the setting, and what is allowed."""
    with pytest.raises(SettingsError) as caught:
        Settings(**values)
    assert sentence in (None, str(caught.value))
    assert str(caught.value).startswith(next(iter(values)))


def test_every_default_may_be_spelled_out() -> None:
    """As the listing shows it."""
    assert Settings(**{setting.name: setting.kind.show(setting.default) for setting in SETTINGS}) == Settings()


SECRETS = ("jwt_secret", "openai_api_key", "anthropic_api_key", "redis_url", "database_url")


def test_these_are_the_secrets() -> None:
    """Whoever adds one adds it here."""
    assert {setting.name for setting in SETTINGS if setting.about.secret} == set(SECRETS)


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("value", ["geheim-geheim-geheim", "geheim\n", "geheim" * 1000, "\udcffgeheim"])
def test_a_secret_is_never_shown(name: str, value: str) -> None:
    """Not in an error, not in repr, not in the listing."""
    values: dict[str, Any] = {name: value}
    try:
        shown = repr(Settings(**values))
    except SettingsError as error:
        shown = str(error)
    assert "geheim" not in shown
    assert name in shown
    assert all("geheim" not in setting.show(value) for setting in SETTINGS if setting.name == name)


def test_a_password_in_a_wrong_address_is_not_shown() -> None:
    """It may stand in any setting that is an address."""
    with pytest.raises(SettingsError, match=r"^openai_base_url must be .*https?://$"):
        Settings(openai_base_url="htps://user:geheim@api.example")


def test_repr_says_what_was_changed() -> None:
    """It has what differs from the defaults."""
    assert repr(Settings(port=0, timeout=2.5, jwt_secret="x" * 40)) == (
        "Settings(port=0, timeout=2.5, jwt_secret=(set, not shown))"
    )


@pytest.mark.parametrize(("drain", "time"), [(None, 150.0), (0.0, 0.0), (5.0, 5.0)])
def test_drain_is_the_deadline_when_unset(drain: float | None, time: float) -> None:
    """A run that starts at the last moment may have its whole time."""
    assert Settings(drain=drain).drain_time == time
