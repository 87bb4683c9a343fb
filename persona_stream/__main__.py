"""Entry point of the command line, which applies gevent's patches before it imports anything else."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    words = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    if words[:1] == ["serve"]:
        # Modules such as ssl, socket and threading keep references from the time of their import. Only the server waits
        # for thousands of sockets, so only it pays for the patches.
        from gevent import monkey

        monkey.patch_all()

    from persona_stream.cli.commands import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
