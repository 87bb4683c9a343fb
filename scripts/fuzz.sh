#!/usr/bin/env bash
# Ask a real server whatever its document allows, and try the laws of the parsers, for FUZZ_S seconds (60) from the seed
# FUZZ_SEED (any; in CI always the same). Arguments go to python -m fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=.venv-fuzz
if [ ! -e $folder/.made ] || [ setup.cfg -nt $folder/.made ]; then
    echo "Setting up $folder (once; about a minute) ..."
    log=$(mktemp)
    if ! { .venv/bin/python -m venv $folder &&
        $folder/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -e '.[fuzz]'; } >"$log" 2>&1; then
        tail -20 "$log" >&2
        echo "fuzz.sh: could not set up $folder" >&2
        exit 1
    fi
    rm -f "$log"
    touch $folder/.made
fi
exec $folder/bin/python -m fuzz --seconds "${FUZZ_S:-60}" ${FUZZ_SEED:+--seed "$FUZZ_SEED"} "$@"
