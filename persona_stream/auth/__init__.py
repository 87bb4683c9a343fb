"""Authentication: verification and issue of bearer tokens, and signed run URLs."""

from persona_stream.auth.verifier import Verifier, verifier

__all__ = ["Verifier", "verifier"]
