"""Personas and the TOML files that describe them."""
