"""``persona-stream chat``: ask a question from the terminal."""

import math
import os
import sys
from typing import Any

import click

from persona_stream.client import models, texts

_EPILOG = """\b
Exit codes:
  0 answered, 1 failed, 2 wrong usage, 3 timeout, 4 refused, 130 cancelled

Ctrl-C cancels the run; a second Ctrl-C exits at once. Prefer the environment variable PERSONA_STREAM_TOKEN: other
users of this machine can see a TOKEN on the command line.
"""


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("username")
@click.argument("message")
@click.argument("token", required=False)
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
@click.option("--events", is_flag=True, help="Print the raw events instead of the progress.")
@click.pass_context
def chat(context: click.Context, /, **given: Any) -> None:
    """Ask the persona USERNAME a question and stream the answer.

    The answer goes to stdout, everything else to stderr. A MESSAGE of "-" is read from stdin. Without a TOKEN, the
    environment variable PERSONA_STREAM_TOKEN is used.
    """
    given["locale"] = given["locale"] or texts.detect_language(os.environ)
    messages = texts.Texts(given["locale"])
    try:
        question = _question(given)
        server = models.ServerConfig(given["url"], _token(given))
        # --help and usage errors need neither requests nor rich, which take 0.1 s to import.
        from persona_stream.client.main import ask

        code = ask(question, server, messages, json=given["as_json"], events=given["events"], timeout=given["timeout"])
    except models.InvalidArgument as error:
        raise click.UsageError(messages.format(error.key, **error.values)) from error
    context.exit(code)


def _require_number(seconds: float) -> float:
    # NaN passes the range check, because every comparison with it is false.
    if math.isnan(seconds):
        raise click.BadParameter("nan is not a number of seconds")
    return seconds


def _question(given: dict[str, Any]) -> models.Question:
    message = given["message"]
    if message == "-":
        message = sys.stdin.buffer.read().decode(errors="surrogateescape") if sys.stdin else ""
    if not message.strip():
        raise models.InvalidArgument("empty_message")
    names = ("username", "endpoint", "prompt", "prompt_mode", "conversation_id", "chunking", "locale", "reasoning")
    return models.Question(message=message, **{name: given[name] for name in names})


def _token(given: dict[str, Any]) -> str:
    token: str = given["token"] or given["token_option"] or os.environ.get("PERSONA_STREAM_TOKEN", "")
    if not token:
        raise models.InvalidArgument("token_missing")
    return token
