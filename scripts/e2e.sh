#!/usr/bin/env bash
# Test with third-party servers and clients, each in its own environment.
#   scripts/e2e.sh [arguments for pytest]
set -euo pipefail
cd "$(dirname "$0")/.."

# environment NAME LOCK REQUIREMENT...: create .venv-e2e-NAME with the versions of requirements/LOCK.txt ("-": without
# a lock), and again whenever its inputs change.
environment() {
    local folder=.venv-e2e-$1 lock=requirements/$2.txt inputs log
    [ "$2" != - ] || lock=/dev/null
    shift 2
    inputs="$* $(cksum <"$lock")"
    [ "$(cat "$folder/.made" 2>/dev/null)" != "$inputs" ] || return 0
    echo "Setting up $folder (once; a few minutes) ..."
    log=$(mktemp)
    rm -rf "$folder"
    # Not compiled: only a small part of these hundreds of megabytes is ever imported.
    if ! { .venv/bin/python -m venv "$folder" && PIP_CONSTRAINT=$lock \
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile "$@"; } >"$log" 2>&1; then
        tail -20 "$log" >&2
        echo "e2e.sh: could not set up $folder with: $*" >&2
        exit 1
    fi
    rm -f "$log"
    printf '%s' "$inputs" >"$folder/.made"
}

# node_packages [PACKAGE...]: create .venv-e2e-node from requirements/node, or with the newest versions of the packages.
node_packages() {
    local folder=.venv-e2e-node inputs
    inputs="$* $(cksum <requirements/node/package-lock.json)"
    [ "$(cat "$folder/.made" 2>/dev/null)" != "$inputs" ] || return 0
    echo "Setting up $folder (once) ..."
    rm -rf "$folder"
    mkdir "$folder"
    cp requirements/node/package*.json "$folder"
    if [ $# -eq 0 ]; then
        npm ci --silent --no-audit --no-fund --fetch-retries 5 --prefix "$folder"
    else
        npm install --silent --no-audit --no-fund --no-package-lock --fetch-retries 5 --prefix "$folder" "${@/%/@latest}"
    fi
    printf '%s' "$inputs" >"$folder/.made"
}

# The server is installed beside them: e2e/test_own_functions.py serves functions that use these packages.
python_clients=(openai anthropic langchain-openai requests mcp -e .)
# The Agents SDK wants other versions of the packages that it shares with those.
responses_clients=(openai openai-agents langchain-openai)
# Each of these wants other versions of the packages that they share.
frameworks=('pydantic-ai-slim[openai]' instructor llama-index-llms-openai-like llm)
node_clients=(openai @anthropic-ai/sdk ai @ai-sdk/openai @ai-sdk/open-responses @ai-sdk/openai-compatible
    @ai-sdk/anthropic @ai-sdk/react @openai/codex)

# The Node packages include axe-core, which checks the accessibility of the pages in the heavy tests below.
if [ -n "${NEWEST:-}" ]; then
    rm -rf .venv-e2e-{node,litellm,clients,responses,frameworks,aider,open-webui}
    node_packages "${node_clients[@]}"
else
    node_packages
fi

# Property tests with many more examples than `make test` runs, the heavy tests, and a short fuzz run.
if [ $# -eq 0 ]; then
    HYPOTHESIS_PROFILE=thorough .venv/bin/python -m pytest -n 2 -m hypothesis tests
    .venv/bin/python -m pytest -n 2 --dist loadfile -m heavy tests
    scripts/fuzz.sh
fi

# client NAME REQUIREMENT...: create the environment of clients, with their newest versions if those are wanted.
client() {
    local name=$1 lock=$1
    shift
    [ -z "${NEWEST:-}" ] || lock=-
    environment "$name" "$lock" "$@"
}

environment tokens dev -e '.[tokens]'
client litellm 'litellm[proxy]>=1.106,<2'
client clients "${python_clients[@]}"
client responses "${responses_clients[@]}"
client frameworks "${frameworks[@]}"
client aider aider-chat
# Without most of its dependencies, several gigabytes that reading a stream does not use.
if [ -n "${NEWEST:-}" ]; then
    client open-webui --no-deps open-webui $(grep -v '^open-webui=' requirements/open-webui.txt)
else
    client open-webui --no-deps -r requirements/open-webui.txt
fi

for name in OPENAI ANTHROPIC LANGCHAIN FUNCTIONS; do
    export "E2E_$name=$PWD/.venv-e2e-clients/bin/python"
done
for name in OPENAI ANTHROPIC AI RESPONSES; do
    export "E2E_${name}_NODE=$PWD/.venv-e2e-node"
done
export E2E_RESPONSES=$PWD/.venv-e2e-responses/bin/python
export E2E_TOKENS=$PWD/.venv-e2e-tokens/bin/python
for name in PYDANTIC_AI INSTRUCTOR LLAMA_INDEX LLM; do
    export "E2E_$name=$PWD/.venv-e2e-frameworks/bin/python"
done
export E2E_OPEN_WEBUI=$PWD/.venv-e2e-open-webui/bin/python
export E2E_AIDER=$PWD/.venv-e2e-aider/bin/python
export E2E_LITELLM=$PWD/.venv-e2e-litellm/bin/python
export E2E_LITELLM_PROXY=$PWD/.venv-e2e-litellm/bin/litellm
[ -z "${NEWEST:-}" ] || .venv/bin/python -m e2e.versions write
case " $* " in
*" e2e/"*) ;;
*) set -- e2e "$@" ;;
esac
# LiteLLM needs half a minute of CPU time to start, and more right after its installation.
exec .venv/bin/python -m pytest -o timeout=600 "$@"
