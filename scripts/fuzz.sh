#!/usr/bin/env bash
# Fuzz a real server from its OpenAPI document, and run the parsers' property tests, for FUZZ_S seconds (60) with the
# seed FUZZ_SEED (random; fixed in CI). Arguments are passed to python -m fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=.venv-fuzz
if [ ! -e $folder/.made ] || [ setup.cfg -nt $folder/.made ] || [ requirements/dev.txt -nt $folder/.made ]; then
    echo "Setting up $folder (once; about a minute) ..."
    log=$(mktemp)
    if ! { .venv/bin/python -m venv $folder &&
        PIP_CONSTRAINT=requirements/dev.txt $folder/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -e '.[fuzz]'; } >"$log" 2>&1; then
        tail -20 "$log" >&2
        echo "fuzz.sh: could not set up $folder" >&2
        exit 1
    fi
    rm -f "$log"
    touch $folder/.made
fi
exec $folder/bin/python -m fuzz --seconds "${FUZZ_S:-60}" ${FUZZ_SEED:+--seed "$FUZZ_SEED"} "$@"
