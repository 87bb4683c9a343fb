"""Two servers that do the same job with the field's usual parts, as well as we know how to write them.

Each of them is what a good engineer would write for this wire with its framework: the same events, the same
pace, verified tokens (kept for the next request), checked bodies. They do less than ours: their query is an
``await`` of their own event loop, and there is no journal behind it, so nothing can be resumed, cancelled or
looked up. Started by ``bench.servers`` under uvicorn with uvloop and httptools.
"""
