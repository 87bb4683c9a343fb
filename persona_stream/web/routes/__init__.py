"""Routes: one Flask blueprint per module."""
