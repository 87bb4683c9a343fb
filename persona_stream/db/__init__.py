"""The SQL database: conversations and the request log."""
