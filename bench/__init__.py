"""Benchmarks of the server against two peers under the same load: ``make bench``.

Each server runs alone on one core, the client on the other:

    __main__ ── measurement ── servers      start the server or a peer on its core
                    │ ├─────── client       one process on the other core: generates the load, evaluates each stream
                    │ └─────── procfs       resources of the server process
                    └───────── report       medians, ratios, and the goals reached

``workload`` defines the answer, the pace and the tokens for all of them.
"""
