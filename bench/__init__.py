"""Measure our server beside two peers that do the same job, under the same load: ``make bench``.

Each server runs alone on one core, and the client on the other:

    __main__ ── rounds ── servers      start ours, or a peer, on its core
                   │ ├─── client       one process on the other core: load, then what every stream was worth
                   │ └─── procfs       what the server took of the machine
                   └───── report       medians, ratios, and which of the aims were reached

``workload`` is what all of them agree on: the text, the pace, the tokens.
"""
