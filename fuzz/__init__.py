"""Try what nobody has thought of: the whole wire by its document, and the parsers by their laws. ``make fuzz``."""
