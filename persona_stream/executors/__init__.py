"""Executors: the places where ``process_query`` runs."""

from persona_stream.executors.base import Executor, Raised, Returned

__all__ = ["Executor", "Raised", "Returned"]
