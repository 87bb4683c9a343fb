"""The command line's front door: it patches before anything else is imported."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    words = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    if words[:1] == ["serve"]:
        # ssl, socket and threading keep what they took hold of while they were imported: only the server waits for
        # thousands of sockets at a time, and only it pays for the patching.
        from gevent import monkey

        monkey.patch_all()

    from persona_stream.cli.commands import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
