"""HTTP layer: routes, and the modules that they share."""
