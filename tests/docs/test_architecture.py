"""The path of a request in docs/ARCHITECTURE.md is the one that the program takes."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.documents import ROOT, Document

MAX_MODULES = 50


def test_the_path_of_a_request_names_each_module_once_in_order() -> None:
    """One stream_chat_smart request is profiled; memory journal, greenlet executor, no store."""
    command = [sys.executable, "-m", "tests.docs.request_walk"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    entered = done.stdout.splitlines()
    text = Document("docs/ARCHITECTURE.md").text
    section = text.partition("\n## The path of a request\n")[2].partition("\n## ")[0]
    documented = re.findall(r"^ *([\w/]+\.py) ", section.partition("```\n")[2], re.MULTILINE)
    assert documented == entered
    assert len(entered) <= MAX_MODULES
