#!/usr/bin/env python3
"""Ask a persona from the terminal: python test_streaming_client.py USERNAME MESSAGE TOKEN (--help tells the rest)."""

from __future__ import annotations

from persona_stream.cli.chat import chat

if __name__ == "__main__":
    chat.main(prog_name="test_streaming_client.py")
