"""Scenarios of the published command ``llm``; see concurrently.py. An error is its exit status and its last line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import concurrently

BASE_URL, KEY = concurrently.arguments()
MODEL = {"model_name": "ada", "api_base": f"{BASE_URL}/v1", "api_key_name": "persona"}
MODELS = [{"model_id": "ada", **MODEL}, {"model_id": "ada-text", **MODEL, "completion": True}]


def ask(*arguments: str) -> str:
    # JSON is YAML.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "extra-openai-models.yaml").write_text(json.dumps(MODELS), "utf-8")
        environment = {"PATH": os.environ["PATH"], "LLM_USER_PATH": folder, "PYTHONIOENCODING": "utf-8"}
        command = [Path(sys.executable).parent / "llm", "--key", KEY, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemError(done.stderr.strip().splitlines()[-1])
    return done.stdout.removesuffix("\n")


concurrently.run(
    {
        "whole": lambda message: ask("--no-stream", "-m", "ada", message),
        "stream": lambda message: ask("-m", "ada", message),
        "text": lambda message: ask("--no-stream", "-m", "ada-text", message),
        "text_stream": lambda message: ask("-m", "ada-text", message),
    }
)
