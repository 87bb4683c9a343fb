"""The functions and the commands of the tutorial, against a server; ``make e2e`` builds its React component."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from tests.documents import Document
from tests.server_process import ServerProcess

DOCUMENTS = [Document("docs/TUTORIAL.md"), Document("docs/TUTORIAL.zh-CN.md")]
PAUSE = re.compile(r"time\.sleep\(\d+\)")


class Served(NamedTuple):
    """Server of the tutorial's second function, and the directory of its files."""

    server: ServerProcess
    folder: Path

    def run(self, document: Document, command: str) -> str:
        """Run the block of a tutorial with this command, for this server; return its output."""
        [block] = [block for block in document.blocks("bash") if command in block]
        block = block.replace("source .venv/bin/activate\n", "").replace("http://127.0.0.1:5001", self.server.url)
        block = block.replace("persona-stream chat", f"persona-stream chat --url {self.server.url}")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ended = subprocess.run(
            ["bash", "-euc", block],
            cwd=self.folder,
            env={**os.environ, "PATH": path, "PERSONA_STREAM_STATE_DIR": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the second function without its pauses, with the flags of the tutorial."""
    folder = tmp_path_factory.mktemp("tutorial")
    _, function = DOCUMENTS[0].blocks("python")
    (folder / "my_bot.py").write_text(PAUSE.sub("time.sleep(0)", function), "utf-8")
    [flags] = re.findall(r"^persona-stream serve (.*)$", DOCUMENTS[0].text, re.MULTILINE)
    server = ServerProcess(flags.split(), {"PERSONA_STREAM_STATE_DIR": str(folder)}, cwd=folder)
    yield Served(server, folder)
    server.stop()


@pytest.mark.parametrize("document", DOCUMENTS, ids=repr)
def test_the_functions_answer_and_report(document: Document) -> None:
    """Both versions of ``my_bot.py``; the second reports its steps from 0 on."""
    first, second = document.blocks("python")
    assert first.startswith("# my_bot.py\n")
    module: dict[str, Any] = {}
    exec(PAUSE.sub("", first), module)
    answer = module["ask"]("Hi")
    reports: list[tuple[str, float]] = []
    exec(PAUSE.sub("", second), module)
    query = SimpleNamespace(message="Hi", report=lambda *report: reports.append(report))
    assert module["ask"](query) == answer
    assert answer.endswith(" Hi")
    assert [fraction for _, fraction in reports] == [0.0, 0.2, 0.4, 0.6, 0.8]


@pytest.mark.parametrize("document", DOCUMENTS, ids=repr)
def test_the_terminal_client_prints_the_answer(served: Served, document: Document) -> None:
    """With the token of this machine."""
    assert re.fullmatch(r"\*\*You asked:\*\* .+[?？]\n", served.run(document, "persona-stream chat"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=repr)
def test_curl_prints_the_events(served: Served, document: Document) -> None:
    """From the command as it stands."""
    *_, last = served.run(document, "curl -N").rstrip().splitlines()
    assert last.startswith('data: {"success":true,"data":"","status":"complete"')
