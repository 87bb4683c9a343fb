"""Numbers for Prometheus: how many runs there are, how they end, and how long each stage of them takes.

Labels are bounded, whoever calls: addresses of ours, backends that are configured, codes, dialects. No caller, run,
text or path of a stranger ever becomes one. Nothing is counted for an event that goes out; what a reader was sent is
added up while it reads, and counted when it leaves.

The library is imported by ``prometheus.py`` and the files that it imports, and by nobody else, since several
processes must first agree where they count: see ``processes.py``.

One trace for a run, by OpenTelemetry: the run, its stages, each try at a provider, and its readers.

It belongs to the trace that the request's ``traceparent`` names, and so do the spans of a provider that reads ours. No
text, no caller and nothing that opens anything gets into a span.

``asking.py`` says whether traces are wanted, without the library; the other files need it.
"""

from __future__ import annotations
