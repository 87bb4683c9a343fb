"""``persona-stream doctor``: measure the path to a server, and say what to change in the proxies on it."""

import os
from concurrent.futures import ThreadPoolExecutor

import click

from persona_stream.cli.chat import find_token
from persona_stream.client import diagnosis, models, texts

_HOLDS = (30, 60, 100)  # seconds: below, at and above the usual limits of proxies
_MARK = {True: "!!", False: "ok"}


@click.command()
@click.argument("url", default="http://127.0.0.1:5001")
@click.option("--token", help="Token. [default: PERSONA_STREAM_TOKEN, or this machine's secret]")
@click.option("--seconds", type=click.IntRange(2, 120), default=10, show_default=True, help="Length of the stream.")
@click.option(
    "--hold", "holds", type=click.IntRange(1, 120), multiple=True, default=_HOLDS, show_default=True,
    help="Seconds of silence that a connection must survive. Can be repeated.",
)  # fmt: skip
@click.option("--quick", is_flag=True, help="Leave out the silent connections.")
def doctor(url: str, token: str | None, seconds: int, holds: tuple[int, ...], quick: bool) -> int:
    """Find the proxy between this machine and the server at URL that buffers, compresses or cuts streams.

    All measurements run at once, so it takes as long as the longest. The exit code is 1 if something harms streams.
    """
    from persona_stream.client import doctor as path

    language = texts.detect_language(os.environ)
    try:
        server = models.ServerConfig(url, find_token(url, token))
    except models.InvalidArgument as error:
        raise click.UsageError(texts.Texts(language).format(error.key, **error.values)) from None
    wanted = () if quick else holds
    click.echo(texts.Texts(language).doctor("measuring", seconds=max((seconds, *wanted))), err=True)
    with ThreadPoolExecutor(1 + len(wanted)) as pool:
        ticking = pool.submit(path.measure, server, seconds=seconds)
        silences = [pool.submit(path.measure, server, seconds=0, silent=hold) for hold in wanted]
        findings = diagnosis.diagnose(ticking.result(), [each.result() for each in silences], language)
    for finding in findings:
        click.echo(f"{_MARK[finding.is_problem]}  {finding.text}")
        if finding.advice:
            click.echo(f"      {finding.advice}")
    return int(any(finding.is_problem for finding in findings))
