"""The caller."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """Say who calls, and what they may do.

    Attributes:
        subject: the token's ``sub``. A run belongs to the subject that started it.
        scopes: the token's scopes: ``chat``, ``admin``.
    """

    subject: str
    scopes: frozenset[str] = frozenset({"chat"})
