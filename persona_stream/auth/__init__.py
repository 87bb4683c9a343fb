"""Authentication: verification and issue of bearer tokens, and signed run URLs."""

from persona_stream.auth.jwt import TokenVerifier, create_verifier

__all__ = ["TokenVerifier", "create_verifier"]
