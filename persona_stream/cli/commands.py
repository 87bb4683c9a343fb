"""Command group, which imports a command when it is called and reports errors in one sentence."""

import difflib
import importlib

import click

from persona_stream import __version__, errors
from persona_stream.extras import install_command

# The help texts stand here as well, so that --help imports no command.
_COMMANDS = {
    "serve": ("persona_stream.cli.serve", "Start the server."),
    "work": ("persona_stream.cli.work", "Run queries for servers, as a Celery worker."),
    "chat": ("persona_stream.cli.chat", "Ask a question from the terminal."),
    "runs": ("persona_stream.cli.runs", "List, show and follow runs of the request log."),
    "stats": ("persona_stream.cli.runs", "Print response times and costs."),
    "db": ("persona_stream.cli.db", "Show or migrate the database schema."),
    "doctor": ("persona_stream.cli.doctor", "Find the proxy that buffers, compresses or cuts streams."),
    "token": ("persona_stream.cli.token", "Print a token for a user."),
    "key": ("persona_stream.cli.key", "Create, list and revoke API keys."),
    "settings": ("persona_stream.cli.settings", "Print every setting with its value."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _ = _COMMANDS[cmd_name]
        try:
            command = getattr(importlib.import_module(module), cmd_name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("sqlalchemy", "alembic"):
                raise
            raise errors.ConfigurationError(f"{cmd_name} needs SQLAlchemy: {install_command('sql')}") from None
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{cmd_name} is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS:
            close = difflib.get_close_matches(args[0], _COMMANDS, n=1) or list(_COMMANDS)
            raise click.UsageError(f"Unknown command {args[0]}: did you mean {' or '.join(close)}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="persona-stream", message="%(prog)s %(version)s")
@click.pass_context
def group(ctx: click.Context) -> None:
    """Turn any blocking function into a live, resumable stream with real progress."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run(arguments: list[str]) -> int:
    """Run a command and return the exit code: its own, 2 for wrong usage or configuration, 130 if interrupted."""
    try:
        code = group.main(arguments, prog_name="persona-stream", standalone_mode=False)
    except click.Abort:
        return 130
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except errors.ConfigurationError as error:
        return _fail(str(error), 2)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    click.echo(f"persona-stream: {message}", err=True)
    return code
