"""The HTTP side: a blueprint a file, and what they share."""
