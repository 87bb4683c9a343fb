"""OpenAPI document of the server, and the page that displays it."""

from persona_stream.web.openapi.routes import blueprint

__all__ = ["blueprint"]
