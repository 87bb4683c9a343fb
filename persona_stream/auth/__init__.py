"""Authentication: verification and issue of bearer tokens, and signed run URLs."""
