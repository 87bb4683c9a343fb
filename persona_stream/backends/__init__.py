"""Backends: user functions, model providers and the demo, behind one interface."""
