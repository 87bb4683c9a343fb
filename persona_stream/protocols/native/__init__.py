"""The native protocol, described in docs/STREAMING.md and docs/api/stream.md."""
