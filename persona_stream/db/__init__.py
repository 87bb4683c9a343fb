"""SQL database: the request log and conversations."""
