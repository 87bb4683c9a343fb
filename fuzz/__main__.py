"""``python -m fuzz``: try the wire, then the laws, and exit with 1 if anything was found."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections import Counter

from fuzz import property_tests as laws
from fuzz import wire
from fuzz.report import Findings

_WIRE = 0.75  # of the time
_FIXED = 20_261_120  # the seed in CI: what is found there is about the change that is looked at


def main() -> int:
    """Share the time out, and tell how it went."""
    asked = _arguments()
    findings, begun = Findings(), time.monotonic()
    again = f"FUZZ_SEED={asked.seed} FUZZ_S={asked.seconds:.0f} make fuzz"
    print(f"Fuzzing for {asked.seconds:.0f} s. To do the same again: {again}", flush=True)
    answers = wire.fuzz(_WIRE * asked.seconds, asked.seed, findings)
    examples = laws.fuzz(asked.seconds - (time.monotonic() - begun), asked.seed, findings)
    if asked.verbose:
        print("\n".join(f"  {count:7,} {answer}" for answer, count in sorted(answers.items())))
    statuses: Counter[str] = Counter()
    for answer, count in answers.items():
        statuses[answer.rpartition(" ")[2]] += count
    told = ", ".join(f"{status}: {count:,}" for status, count in sorted(statuses.items()))
    took = time.monotonic() - begun
    print(f"{statuses.total():,} requests ({told}) and {examples:,} examples in {took:.0f} s, seed {asked.seed}")
    print(f"{findings.count} findings")
    return 1 if findings.count else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    seed = _FIXED if os.environ.get("CI") == "true" else secrets.randbits(31)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--seed", type=int, default=seed, help="where to begin (anywhere; in CI always the same)")
    parser.add_argument("--verbose", action="store_true", help="count the answers by operation and status")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
