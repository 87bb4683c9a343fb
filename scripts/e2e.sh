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

# The laws too, with many more examples than `make test` has time for.
[ $# -gt 0 ] || HYPOTHESIS_PROFILE=thorough .venv/bin/python -m pytest -n 2 -m hypothesis tests

environment litellm 'litellm[proxy]>=1.106,<2'

export E2E_LITELLM=$PWD/.venv-e2e-litellm/bin/litellm
# LiteLLM takes half a minute of computing to start, and more when it was just installed.
exec .venv/bin/python -m pytest e2e -o timeout=600 "$@"
