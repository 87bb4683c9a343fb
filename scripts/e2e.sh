#!/usr/bin/env bash
# Run against servers and clients that are not ours, each in an environment of its own.
#   scripts/e2e.sh [arguments for pytest]
set -euo pipefail
cd "$(dirname "$0")/.."

# environment NAME REQUIREMENT...: make .venv-e2e-NAME, and make it again when its requirements change.
environment() {
    local folder=.venv-e2e-$1 log
    shift
    [ "$(cat "$folder/.made" 2>/dev/null)" != "$*" ] || return 0
    echo "Setting up $folder (once; a few minutes) ..."
    log=$(mktemp)
    rm -rf "$folder"
    # Not compiled: of hundreds of megabytes only what is imported is worth that.
    if ! { .venv/bin/python -m venv "$folder" &&
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile "$@"; } >"$log" 2>&1; then
        tail -20 "$log" >&2
        echo "e2e.sh: could not set up $folder with: $*" >&2
        exit 1
    fi
    rm -f "$log"
    printf '%s' "$*" >"$folder/.made"
}

# packages NAME REQUIREMENT...: the same with npm, in .venv-e2e-NAME-node.
packages() {
    local folder=.venv-e2e-$1-node
    shift
    [ "$(cat "$folder/.made" 2>/dev/null)" != "$*" ] || return 0
    echo "Setting up $folder (once) ..."
    rm -rf "$folder"
    npm install --silent --no-audit --no-fund --no-package-lock --fetch-retries 5 --prefix "$folder" "$@"
    printf '%s' "$*" >"$folder/.made"
}

# wanted INSTALLER PACKAGE...: in the versions that docs/CLIENTS.md names; with NEWEST=1, in those of today.
wanted() {
    if [ -n "${NEWEST:-}" ]; then
        shift
        echo "$@"
    else
        .venv/bin/python -m e2e.versions "$@"
    fi
}

# What looks for faults of accessibility, in the tests of the dashboard.
packages axe axe-core

# The laws too, with many more examples than `make test` has time for, and what is too heavy for it.
if [ $# -eq 0 ]; then
    HYPOTHESIS_PROFILE=thorough .venv/bin/python -m pytest -n 2 -m hypothesis tests
    .venv/bin/python -m pytest -n 2 --dist loadfile -m heavy tests
    # A minute of what nobody has thought of; in CI always from the same seed.
    scripts/fuzz.sh
fi

environment tokens -e '.[tokens]'
environment litellm 'litellm[proxy]>=1.106,<2'

[ -z "${NEWEST:-}" ] || rm -f .venv-e2e-{openai,anthropic,langchain}/.made .venv-e2e-*-node/.made
environment openai $(wanted pip openai requests)
environment anthropic $(wanted pip anthropic)
environment langchain $(wanted pip langchain-openai)
packages openai $(wanted npm openai)
packages anthropic $(wanted npm @anthropic-ai/sdk)
packages ai $(wanted npm ai @ai-sdk/openai-compatible @ai-sdk/anthropic)

for name in openai anthropic langchain; do
    export "E2E_${name^^}=$PWD/.venv-e2e-$name/bin/python"
done
for name in openai anthropic ai; do
    export "E2E_${name^^}_NODE=$PWD/.venv-e2e-$name-node"
done
export E2E_TOKENS=$PWD/.venv-e2e-tokens/bin/python
export E2E_LITELLM=$PWD/.venv-e2e-litellm/bin/litellm
[ -z "${NEWEST:-}" ] || .venv/bin/python -m e2e.versions write
# LiteLLM takes half a minute of computing to start, and more when it was just installed.
exec .venv/bin/python -m pytest e2e -o timeout=600 "$@"
