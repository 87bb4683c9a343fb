"""OpenAPI document of the server, built from the descriptions that stand beside the views."""
