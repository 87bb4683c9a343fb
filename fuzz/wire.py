"""Ask a real server whatever its own document allows, and what it does not, and hold the answers to the document."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from random import Random

from fuzz.known_ids import known
from fuzz.report import Findings
from tests.server_process import ROOT, SECRET, ServerProcess

_AT_ONCE, _AT_ONCE_FOR_LONG = 2, 3  # processes that ask: a server is quicker than they, and loading costs each the same
_PASS = 300.0  # seconds: runs are kept longer, so those that are known exist to the end
_DEEPER = ["--exclude-tag", "Pages", "--exclude-tag", "Operations"]  # they take nothing that could be wrong
_LOADING = 8.0  # seconds that schemathesis takes around a pass
_SHORTEST = 10.0
_HANGS = 300.0  # seconds beyond twice its time, after which a pass waits for an answer that never comes
_LEAST, _MOST = 10, 100  # cases for each operation, before the next one's turn: more at a time are cheaper
_FLAGS = [
    "--backend=fuzz.backend:answer", f"--jwt-secret={SECRET}", "--max-runs-per-user=10000", "--disconnect-grace=1s",
]  # fmt: skip
_SCHEMATHESIS = [
    str(Path(sys.executable).with_name("schemathesis")), "--no-color",
    "--config-file", str(ROOT / "fuzz/schemathesis.toml"),
    "run", "--continue-on-failure", "--generation-database", "none",
]  # fmt: skip


def fuzz(seconds: float, seed: int, findings: Findings) -> Counter[str]:
    """Ask for so long, and give how often each operation has answered with each status."""
    until = time.monotonic() + seconds

    def lane(number: int) -> Counter[str]:
        dice, counted, left = Random(f"{seed} {number}"), Counter[str](), _SHORTEST
        while left >= _SHORTEST:
            left = until - time.monotonic() - _LOADING
            asked = (_DEEPER if number else [], min(_PASS, max(left, _SHORTEST)), dice.getrandbits(31))
            counted += _pass(server, *asked, findings)
            left = until - time.monotonic() - _LOADING
        return counted

    at_once = _AT_ONCE_FOR_LONG if seconds > _PASS else _AT_ONCE
    with _served(findings) as server, ThreadPoolExecutor(at_once) as lanes:
        return sum(lanes.map(lane, range(at_once)), Counter[str]())


@contextmanager
def _served(findings: Findings) -> Iterator[ServerProcess]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        database = f"sqlite:///{folder}/log.sqlite"
        server = ServerProcess([*_FLAGS, f"--state-dir={folder}"], {"PERSONA_STREAM_DATABASE_URL": database})
        try:
            yield server
        finally:
            code = server.stop()
            if code != 0 or "Traceback (most recent call last)" in server.log:
                findings.add("the server's log", f"exit code {code}\n{server.log[-20_000:]}", "the same seed")


def _pass(server: ServerProcess, chosen: list[str], seconds: float, seed: int, findings: Findings) -> Counter[str]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        exists, counts = Path(folder, "known.json"), Path(folder, "counts.json")
        # A caller of its own for each pass: one pass deletes what another relies on.
        exists.write_text(json.dumps(asdict(known(server, f"caller-{seed}"))), "utf-8")
        counts.write_text("{}", "utf-8")
        cases = min(_MOST, max(_LEAST, int(seconds / 3)))
        asked = [f"--seed={seed}", f"--max-time={seconds:.0f}", f"--max-examples={cases}"]
        environ = {
            "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "fuzz.hooks",
            "FUZZ_KNOWN": str(exists), "FUZZ_COUNT": str(counts),
        }  # fmt: skip
        try:
            done = subprocess.run(
                [*_SCHEMATHESIS, f"{server.url}/openapi.json", *chosen, *asked],
                cwd=folder,
                env={**os.environ, **environ},
                capture_output=True,
                text=True,
                check=False,
                timeout=2 * seconds + _HANGS,
            )
        except subprocess.TimeoutExpired as endless:
            findings.add(f"the wire, pass with seed {seed}", f"it never ended: {endless.stdout!r}", "the same seed")
            return Counter()
        counted = Counter[str](json.loads(counts.read_text("utf-8")))
    if done.returncode != 0 or not counted:
        # The phases before them are of no interest, and neither are the warnings after.
        told = re.sub(r"(?s)\A.*?(?==+ (?:FAILURES|ERRORS) =)|=+ WARNINGS =.*?(?==+ SUMMARY =)", "", done.stdout)
        findings.add(f"the wire, pass with seed {seed}", f"{told}{done.stderr}", "curl, as it says; or the same seed")
    print(f"  wire   {counted.total():9,} requests, seed {seed}", flush=True)
    return counted
