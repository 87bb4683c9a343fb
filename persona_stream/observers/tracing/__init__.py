"""One trace for a run, by OpenTelemetry: the run, its stages, each try at a provider, and its readers.

It belongs to the trace that the request's ``traceparent`` names, and so do the spans of a provider that reads ours. No
text, no caller and nothing that opens anything gets into a span.

``asking.py`` says whether traces are wanted, without the library; the other files need it.
"""
