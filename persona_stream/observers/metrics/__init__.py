"""Numbers for Prometheus: how many runs there are, how they end, and how long each stage of them takes.

Labels are bounded, whoever calls: addresses of ours, backends that are configured, codes, dialects. No caller, run,
text or path of a stranger ever becomes one. Nothing is counted for an event that goes out; what a reader was sent is
added up while it reads, and counted when it leaves.

The library is imported by ``prometheus.py`` and the files that it imports, and by nobody else, since several
processes must first agree where they count: see ``processes.py``.
"""
