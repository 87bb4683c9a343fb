"""Observers of runs and of the process: logs, metrics, traces, and records for the database."""
