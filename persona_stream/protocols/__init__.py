"""Wire protocols: request bodies in, events and responses out. Pure."""
