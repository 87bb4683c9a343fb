"""Executors: where ``process_query`` runs."""

from persona_stream.executors.base import Executor, Task, TaskCallbacks

__all__ = ["Executor", "Task", "TaskCallbacks"]
