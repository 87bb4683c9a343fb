"""The command line as a whole: what it says, what it imports, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from persona_stream import __version__
from persona_stream.cli.commands import group, run
from persona_stream.errors import ConfigurationError, SettingsError


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """One line."""
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"persona-stream {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Also where nothing was asked for."""
    assert run(arguments) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in ("serve", "chat", "runs", "stats", "db", "token", "settings"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sevre"], "There is no command sevre: did you mean serve?"),
        (["x"], "There is no command x: did you mean serve or chat or runs or stats or db or token or settings?"),
        (["--port", "1", "serve"], "No such option '--port'."),
        (["settings", "--max-run", "1"], "No such option '--max-run'."),
        (["settings", "--port"], "Option '--port' requires an argument."),
        (["settings", "--port", "abc"], '--port must be a whole number from 0 to 65535, not "abc"'),
        (
            ["settings", "--config", "/none.toml"],
            "The settings file /none.toml cannot be read: No such file or directory",
        ),
        (["settings", "--rate-limit", "x"], "--rate-limit must be a rate like 60/minute"),
        (["token"], "Missing option '--user'."),
        (["serve", "--workers", "2"], "workers above 1 need a Redis"),
        (["serve", "--workers", "2", "--redis-url", "redis://h/0"], "workers above 1 need a secret"),
    ],
)
def test_a_wrong_start_is_one_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, with exit code 2 and nothing on stdout."""
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"persona-stream: {sentence}")
    assert err.count("\n") == 1


def ended(by: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a command that ends so."""
    monkeypatch.setattr(group, "get_command", lambda ctx, name: click.Command(name, callback=by))
    return run(["serve"])


def raising(error: BaseException) -> Callable[[], object]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("by", "code"),
    [
        (lambda: None, 0),
        (lambda: 0, 0),
        (lambda: 3, 3),
        (lambda: "text", 0),
        (lambda: click.get_current_context().exit(4), 4),
        (raising(click.Abort()), 130),
        (raising(KeyboardInterrupt()), 130),
        (raising(ConfigurationError("It cannot start: do this")), 2),
        (raising(SettingsError("port must be a port")), 2),
    ],
)
def test_a_commands_end_is_the_exit_code(by: Callable[[], object], code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it returns, what it exits with, and what stops it."""
    assert ended(by, monkeypatch) == code


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is said on purpose becomes a sentence."""
    with pytest.raises(ZeroDivisionError):
        ended(lambda: 1 / 0, monkeypatch)


def python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program with these arguments; a patch that comes too late is an error."""
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


PATCHED = """
import sys
from persona_stream.__main__ import main
try:
    main()
finally:
    monkey = sys.modules.get("gevent.monkey")
    print([name for name in ("socket", "ssl", "threading") if monkey and monkey.is_module_patched(name)])
"""


@pytest.mark.parametrize(
    ("arguments", "code", "patched"),
    [
        (["serve", "--port", "x"], 2, ["socket", "ssl", "threading"]),
        (["serve", "--help"], 0, ["socket", "ssl", "threading"]),
        (["settings"], 0, []),
        (["--help"], 0, []),
    ],
)
def test_the_server_alone_is_patched_before_anything_is_imported(
    arguments: list[str], code: int, patched: list[str]
) -> None:
    """gevent warns when ssl was there first, and here a warning is an error."""
    done = python(PATCHED, *arguments)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (code, str(patched))
    assert "Traceback" not in done.stderr


def test_help_imports_no_command() -> None:
    """It comes at once, and also where a command's library is broken."""
    program = (
        "import sys; from persona_stream.cli.commands import run; run(['--help']);"
        "print([name for name in sys.modules if name.startswith(('persona_stream.cli.', 'flask', 'gevent', 'jwt'))])"
    )
    assert python(program).stdout.splitlines()[-1] == "['persona_stream.cli.commands']"


def test_the_package_imports_nothing_that_must_be_patched_first() -> None:
    """``import persona_stream`` may come before the patch."""
    program = (
        "import sys; import persona_stream, persona_stream.__main__;"
        "print([name for name in ('ssl', 'socket', 'threading', 'gevent', 'click') if name in sys.modules])"
    )
    assert python(program).stdout == "[]\n"


_WITHOUT = """
import sys
for name in ("alembic", "genai_prices", "limits", "offapi", "opentelemetry", "prometheus_client", "psycopg", "redis",
             "rs_bpe", "sqlalchemy"):
    sys.modules[name] = None
from gevent import monkey
monkey.patch_all()
from persona_stream import create_app
from persona_stream.settings import Settings
client = create_app(Settings(jwt_secret="x" * 40, state_dir=sys.argv[1])).test_client()
print(*(client.get(path).status_code for path in ("/healthz", "/readyz", "/", "/openapi.json", "/dashboard")))
"""


def test_without_any_extra_it_serves(tmp_path: Path) -> None:
    """Whatever is not installed is not needed."""
    done = subprocess.run([sys.executable, "-c", _WITHOUT, tmp_path], capture_output=True, text=True, check=False)
    assert done.stdout == "200 200 200 200 200\n", done.stderr
