#!/usr/bin/env bash
# Resolve the newest versions that the declared ranges allow, and write them to requirements/*.txt and
# requirements/node/package-lock.json. Every environment of the Makefile and of scripts/ is installed from these files.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${PYTHON:-python3} -m venv "$folder/venv"
pip="$folder/venv/bin/python -m pip --disable-pip-version-check"

# lock NAME REQUIREMENT...: write the versions that a new environment with these requirements would get.
lock() {
    local name=$1
    shift
    echo "Resolving requirements/$name.txt ..."
    $pip install --quiet --ignore-installed --dry-run --report "$folder/report.json" "$@"
    "$folder/venv/bin/python" - "$folder/report.json" >"requirements/$name.txt" <<'PYTHON'
import json, sys

report = json.load(open(sys.argv[1], encoding="utf-8"))
found = {item["metadata"]["name"].lower().replace("_", "-"): item["metadata"]["version"] for item in report["install"]}
found.pop("persona-stream", None)
print("# Written by `make lock`.")
print("\n".join(f"{name}=={version}" for name, version in sorted(found.items())))
PYTHON
}

# setuptools builds the package; it is named so that pip's build environment is locked too.
lock dev '.[test,check,audit,fuzz,tokens]' 'setuptools>=77'
# The clients' own versions are those that docs/CLIENTS.md names: `make e2e NEWEST=1` moves them.
lock clients $(${PYTHON:-python3} -m e2e.versions pip openai anthropic langchain-openai requests) \
    mcp . 'setuptools>=77'
lock responses $(${PYTHON:-python3} -m e2e.versions pip openai-agents) openai langchain-openai
lock litellm 'litellm[proxy]>=1.106,<2' $(${PYTHON:-python3} -m e2e.versions pip litellm)
lock frameworks $(${PYTHON:-python3} -m e2e.versions pip pydantic-ai-slim instructor llama-index-llms-openai-like llm) \
    'pydantic-ai-slim[openai]'
lock aider $(${PYTHON:-python3} -m e2e.versions pip aider-chat)
# Without most of its dependencies: see scripts/e2e.sh.
lock open-webui aiocache aiofiles beautifulsoup4 fastapi markdown orjson pydantic requests
${PYTHON:-python3} -m e2e.versions pip open-webui >>requirements/open-webui.txt
lock bench -r bench/peers/requirements.txt
lock sentences -r bench/peers/sentence_segmenters.txt
lock build build twine
lock site '.[site]' 'setuptools>=77'

echo "Resolving requirements/node/package-lock.json ..."
packages=$(${PYTHON:-python3} -m e2e.versions npm openai @anthropic-ai/sdk ai @ai-sdk/openai @ai-sdk/open-responses \
    @ai-sdk/openai-compatible @ai-sdk/anthropic @ai-sdk/react @openai/codex)
# Without the addresses of a registry: each machine asks its own.
(cd requirements/node && npm install --silent --no-audit --no-fund --package-lock-only --omit-lockfile-registry-resolved --save-exact $packages)
