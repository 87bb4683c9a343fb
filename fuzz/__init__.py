"""Fuzz tests (``make fuzz``): the HTTP API from its OpenAPI document, and the property tests of the parsers."""
