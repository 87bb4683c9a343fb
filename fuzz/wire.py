"""Fuzz test of a running server with schemathesis: valid and invalid requests from its OpenAPI document."""

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

from fuzz.known_ids import create_known_ids
from fuzz.report import Findings
from tests.server_process import ROOT, SECRET, ServerProcess

_SHORT_RUN_CLIENTS = 2  # schemathesis processes; the server is faster than they are
_LONG_RUN_CLIENTS = 3
_MAX_PASS_TIME = 300.0  # seconds; shorter than the retention, so that known runs exist to the end
_WITHOUT_PAGES = ["--exclude-tag", "Pages", "--exclude-tag", "Operations"]  # they have no parameters
_OVERHEAD = 8.0  # seconds of schemathesis for each pass
_MIN_PASS_TIME = 10.0  # seconds
_HANG_TIMEOUT = 300.0  # seconds, beyond twice the planned time
_MIN_CASES = 10  # for each operation in a pass; larger batches are cheaper
_MAX_CASES = 100
_FLAGS = [
    "--backend=fuzz.backend:answer", f"--jwt-secret={SECRET}", "--max-runs-per-user=10000", "--disconnect-grace=1s",
]  # fmt: skip
_SCHEMATHESIS = [
    str(Path(sys.executable).with_name("schemathesis")), "--no-color",
    "--config-file", str(ROOT / "fuzz/schemathesis.toml"),
    "run", "--continue-on-failure", "--generation-database", "none",
]  # fmt: skip


def fuzz(seconds: float, seed: int, findings: Findings) -> Counter[str]:
    """Fuzz for so many seconds and return the number of responses by operation and status."""
    until = time.monotonic() + seconds

    def run_passes(number: int) -> Counter[str]:
        rng = Random(f"{seed} {number}")
        counted: Counter[str] = Counter()
        left = _MIN_PASS_TIME
        while left >= _MIN_PASS_TIME:
            left = until - time.monotonic() - _OVERHEAD
            pass_time = min(_MAX_PASS_TIME, max(left, _MIN_PASS_TIME))
            counted += _run_pass(server, _WITHOUT_PAGES if number else [], pass_time, rng.getrandbits(31), findings)
            left = until - time.monotonic() - _OVERHEAD
        return counted

    clients = _LONG_RUN_CLIENTS if seconds > _MAX_PASS_TIME else _SHORT_RUN_CLIENTS
    with _running_server(findings) as server, ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(run_passes, range(clients)), Counter[str]())


@contextmanager
def _running_server(findings: Findings) -> Iterator[ServerProcess]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        database = f"sqlite:///{folder}/log.sqlite"
        server = ServerProcess([*_FLAGS, f"--state-dir={folder}"], {"PERSONA_STREAM_DATABASE_URL": database})
        try:
            yield server
        finally:
            code = server.stop()
            if code != 0 or "Traceback (most recent call last)" in server.log:
                findings.add("the server's log", f"exit code {code}\n{server.log[-20_000:]}", "the same seed")


def _run_pass(
    server: ServerProcess, selection: list[str], seconds: float, seed: int, findings: Findings
) -> Counter[str]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        known = Path(folder, "known.json")
        counts = Path(folder, "counts.json")
        # Each pass has its own user, because a pass deletes resources.
        known.write_text(json.dumps(asdict(create_known_ids(server, f"caller-{seed}"))), "utf-8")
        counts.write_text("{}", "utf-8")
        cases = min(_MAX_CASES, max(_MIN_CASES, int(seconds / 3)))
        options = [f"--seed={seed}", f"--max-time={seconds:.0f}", f"--max-examples={cases}"]
        environ = {
            "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "fuzz.hooks",
            "FUZZ_KNOWN": str(known), "FUZZ_COUNT": str(counts),
        }  # fmt: skip
        try:
            done = subprocess.run(
                [*_SCHEMATHESIS, f"{server.url}/openapi.json", *selection, *options],
                cwd=folder,
                env={**os.environ, **environ},
                capture_output=True,
                text=True,
                check=False,
                timeout=2 * seconds + _HANG_TIMEOUT,
            )
        except subprocess.TimeoutExpired as endless:
            findings.add(f"the HTTP API, pass with seed {seed}", f"timeout: {endless.stdout!r}", "the same seed")
            return Counter()
        counted = Counter[str](json.loads(counts.read_text("utf-8")))
    if done.returncode != 0 or not counted:
        # Without the phases before the failures and the warnings after them.
        output = re.sub(r"(?s)\A.*?(?==+ (?:FAILURES|ERRORS) =)|=+ WARNINGS =.*?(?==+ SUMMARY =)", "", done.stdout)
        findings.add(
            f"the HTTP API, pass with seed {seed}", f"{output}{done.stderr}", "the curl command, or the same seed"
        )
    print(f"  api    {counted.total():9,} requests, seed {seed}", flush=True)
    return counted
