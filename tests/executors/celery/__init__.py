"""Tests of the execution by Celery workers."""
