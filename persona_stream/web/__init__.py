"""The HTTP side: routes, and the modules that they share."""
