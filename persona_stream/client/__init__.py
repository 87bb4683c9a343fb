"""The command-line client: ask, watch, read, resume, cancel.

What a server sends is text of a stranger: nothing of it reaches a terminal before ``harmless`` has seen it.
What is decided and what is done are apart: ``session`` and ``judgement`` know neither sockets nor terminals.
"""
