"""Command line as a whole: texts, imports and exit codes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from persona_stream import __version__
from persona_stream.cli.commands import _COMMANDS, group, run
from persona_stream.errors import ConfigurationError, SettingsError


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """It is one line."""
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"persona-stream {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """No arguments at all print the help."""
    assert run(arguments) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in ("serve", "chat", "runs", "stats", "db", "token", "settings"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sevre"], "Unknown command sevre: did you mean serve?"),
        (["x"], f"Unknown command x: did you mean {' or '.join(_COMMANDS)}?"),
        (["--port", "1", "serve"], "No such option '--port'."),
        (["settings", "--max-run", "1"], "No such option '--max-run'."),
        (["settings", "--port"], "Option '--port' requires an argument."),
        (["settings", "--port", "abc"], '--port must be a whole number from 0 to 65535, not "abc"'),
        (
            ["settings", "--config", "/none.toml"],
            "Cannot read the settings file /none.toml: No such file or directory",
        ),
        (["settings", "--rate-limit", "x"], "--rate-limit must be a rate per second"),
        (["token"], "Missing option '--user'."),
        (["serve", "--workers", "2"], "workers above 1 need Redis"),
        (["serve", "--workers", "2", "--redis-url", "redis://h/0"], "workers above 1 need a shared secret"),
    ],
)
def test_a_usage_error_is_one_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is on stderr, with exit code 2."""
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"persona-stream: {sentence}")
    assert err.count("\n") == 1


def exit_code(by: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the exit code for a command with this callback."""
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
def test_the_exit_code_follows_from_the_command(
    by: Callable[[], object], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its return value, its exit and its exceptions count."""
    assert exit_code(by, monkeypatch) == code


def test_an_unexpected_exception_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only deliberate errors are printed as a sentence."""
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: 1 / 0, monkeypatch)


def python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program with warnings as errors, such as that of gevent about a late patch."""
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
def test_only_serve_applies_the_patches_and_before_all_imports(
    arguments: list[str], code: int, patched: list[str]
) -> None:
    """gevent warns when ssl was imported before."""
    done = python(PATCHED, *arguments)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (code, str(patched))
    assert "Traceback" not in done.stderr


def test_help_imports_no_command() -> None:
    """It is fast, and works even if a command's library is broken."""
    program = (
        "import sys; from persona_stream.cli.commands import run; run(['--help']);"
        "print([name for name in sys.modules if name.startswith(('persona_stream.cli.', 'flask', 'gevent', 'jwt'))])"
    )
    assert python(program).stdout.splitlines()[-1] == "['persona_stream.cli.commands']"


def test_the_package_imports_no_module_that_gevent_patches() -> None:
    """``import persona_stream`` can precede the patches."""
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


def test_the_server_runs_without_any_extra(tmp_path: Path) -> None:
    """The libraries of the extras are imported only for their features."""
    done = subprocess.run([sys.executable, "-c", _WITHOUT, tmp_path], capture_output=True, text=True, check=False)
    assert done.stdout == "200 200 200 200 200\n", done.stderr
