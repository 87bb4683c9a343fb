"""Command line of the fuzz tests (``python -m fuzz``); the exit code is 1 if there are findings."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections import Counter

from fuzz import property_tests, wire
from fuzz.report import Findings

_WIRE_SHARE = 0.75  # of the time
_CI_SEED = 20_261_120  # fixed, so that a finding in CI is caused by the change under test


def main() -> int:
    """Run the fuzz tests and print a summary."""
    options = _arguments()
    findings = Findings()
    begun = time.monotonic()
    command = f"FUZZ_SEED={options.seed} FUZZ_S={options.seconds:.0f} make fuzz"
    print(f"Fuzzing for {options.seconds:.0f} s. To repeat: {command}", flush=True)
    answers = wire.fuzz(_WIRE_SHARE * options.seconds, options.seed, findings)
    examples = property_tests.fuzz(options.seconds - (time.monotonic() - begun), options.seed, findings)
    if options.verbose:
        print("\n".join(f"  {count:7,} {answer}" for answer, count in sorted(answers.items())))
    statuses: Counter[str] = Counter()
    for answer, count in answers.items():
        statuses[answer.rpartition(" ")[2]] += count
    summary = ", ".join(f"{status}: {count:,}" for status, count in sorted(statuses.items()))
    took = time.monotonic() - begun
    print(f"{statuses.total():,} requests ({summary}) and {examples:,} examples in {took:.0f} s, seed {options.seed}")
    print(f"{findings.count} findings")
    return 1 if findings.count else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    seed = _CI_SEED if os.environ.get("CI") == "true" else secrets.randbits(31)
    parser.add_argument("--seconds", type=float, default=60.0, help="duration (60)")
    parser.add_argument("--seed", type=int, default=seed, help="seed (random; fixed in CI)")
    parser.add_argument("--verbose", action="store_true", help="print the responses by operation and status")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
