"""``persona-stream chat``: ask a question from the terminal."""

import math
import os
import sys
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import click

from persona_stream.client import models, texts
from persona_stream.client.attachments import load_attachment
from persona_stream.errors import ConfigurationError

_EPILOG = """\b
Exit codes:
  0 answered, 1 failed, 2 wrong usage, 3 timeout, 4 refused, 130 cancelled


Examples:
  persona-stream chat "What is new?"             a function of this machine's server
  persona-stream chat Ada "What is new?"         the persona Ada
  git diff | persona-stream chat -               the message from stdin
  persona-stream chat "What is it?" --attach cat.png
  export PERSONA_STREAM_TOKEN=...                for a server elsewhere, with --url

Without a token, the command signs its own for a server on this machine, with the secret that the server generated.
Prefer the environment variable to TOKEN: other users of this machine can see a TOKEN on the command line.
Ctrl-C cancels the run; a second Ctrl-C exits at once.
"""

_TOKEN_LIFETIME = 3600.0  # seconds
_LOCAL_USER = "demo"  # as in the token that serve prints, so that both see the same conversations


class _Command(click.Command):
    """Command whose first argument may be omitted."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", "[PERSONA]", "MESSAGE", "[TOKEN]"]


@click.command(cls=_Command, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("arguments", nargs=-1, required=True)
@click.option("--token", "token_option", metavar="TOKEN", help="Token, instead of the third argument.")
@click.option("--url", default="http://127.0.0.1:5001", show_default=True, help="Server URL.")
@click.option(
    "--endpoint", type=click.Choice(list(models.PATHS)), default="smart", show_default=True, help="Endpoint to use."
)
@click.option("--prompt", help="Additional prompt.")
@click.option(
    "--prompt-mode", type=click.Choice(["append", "replace"]),
    help="Append the prompt to the persona's own, or replace it.",
)  # fmt: skip
@click.option("--conversation-id", metavar="ID", help="Conversation to continue.")
@click.option(
    "--chunking", type=click.Choice(["characters", "words", "sentences"]), help="Units in which the answer is sent."
)
@click.option(
    "--locale", type=click.Choice(["zh", "en"]), help="Language of status and error texts. [default: from LANG]"
)
@click.option("--attach", "attachments", metavar="FILE", multiple=True, help="File or https address to send along.")
@click.option("--reasoning", is_flag=True, help="Print the model's reasoning to stderr (streaming endpoints).")
@click.option(
    "--timeout",
    type=click.FloatRange(0, 86400, min_open=True),
    default=180.0,
    show_default=True,
    callback=lambda context, parameter, seconds: _require_number(seconds),
    help="Time limit in seconds.",
)
@click.option("--json", "as_json", is_flag=True, help="Print every event as a line of JSON instead of the answer.")
@click.option("--raw", is_flag=True, help="Print the answer's Markdown as it is, as into a pipe.")
@click.option("--events", is_flag=True, help="Print the raw events instead of the progress.")
@click.pass_context
def chat(context: click.Context, /, **given: Any) -> None:
    """Ask a question and stream the answer. PERSONA may be omitted on a server without personas.

    The answer goes to stdout, everything else to stderr. A MESSAGE of "-" is read from stdin. Without a TOKEN, the
    environment variable PERSONA_STREAM_TOKEN is used.
    """
    given |= _name_arguments(given.pop("arguments"))
    given["locale"] = given["locale"] or texts.detect_language(os.environ)
    messages = texts.Texts(given["locale"])
    try:
        question = _question(given)
        server = models.ServerConfig(given["url"], find_token(given["url"], given["token"] or given["token_option"]))
        # --help and usage errors need neither requests nor rich, which take 0.1 s to import.
        from persona_stream.client.main import ask

        code = ask(
            question,
            server,
            messages,
            json=given["as_json"],
            events=given["events"],
            timeout=given["timeout"],
            raw=given["raw"],
        )
    except models.InvalidArgument as error:
        raise click.UsageError(messages.format(error.key, **error.values)) from error
    context.exit(code)


def _require_number(seconds: float) -> float:
    # NaN passes the range check, because every comparison with it is false.
    if math.isnan(seconds):
        raise click.BadParameter("nan is not a number of seconds")
    return seconds


def _name_arguments(arguments: tuple[str, ...]) -> dict[str, str | None]:
    """Return username, message and token from ``[PERSONA] MESSAGE [TOKEN]``; a token needs both others."""
    if len(arguments) > 3:
        raise click.UsageError(f"Got unexpected extra arguments ({' '.join(arguments[3:])}); quote the message")
    username, message, token = (None, *arguments, None) if len(arguments) == 1 else (*arguments, None)[:3]
    return {"username": username, "message": message, "token": token}


def _question(given: dict[str, Any]) -> models.Question:
    message = given["message"]
    if message == "-":
        message = sys.stdin.buffer.read().decode(errors="surrogateescape") if sys.stdin else ""
    if not message.strip():
        raise models.InvalidArgument("empty_message")
    names = ("username", "endpoint", "prompt", "prompt_mode", "conversation_id", "chunking", "locale", "reasoning")
    attachments = tuple(load_attachment(source) for source in given["attachments"])
    return models.Question(message=message, attachments=attachments, **{name: given[name] for name in names})


def find_token(url: str, given: str | None) -> str:
    """Return the given token, else that of the environment, else one of this machine's secret for a server here.

    Raises:
        InvalidArgument: there is none.
    """
    return given or os.environ.get("PERSONA_STREAM_TOKEN", "") or _sign_own_token(url)


def _sign_own_token(url: str) -> str:
    """Return a token of the secret that a server on this machine uses; no other host receives one."""
    from persona_stream.settings import load_settings
    from persona_stream.settings.types import is_loopback
    from persona_stream.state_dir import find_signing_secret

    # A client alone has no settings of a server, so an error in them is the server's to report.
    with suppress(ConfigurationError, ValueError):
        settings = load_settings({}, os.environ, None).settings
        secret = find_signing_secret(settings, os.environ) if is_loopback(urlsplit(url).hostname or "") else None
        if secret is not None and not (settings.jwt_public_key or settings.jwks_url):
            from persona_stream.auth.jwt import issue_token

            return issue_token(secret, _LOCAL_USER, _TOKEN_LIFETIME, settings=settings)
    raise models.InvalidArgument("token_missing")
