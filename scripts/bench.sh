#!/bin/sh
# Measure the server beside its peers, which have their own environment. Arguments are passed to python -m bench.
set -eu
cd "$(dirname "$0")/.."

peers=.venv-bench
if [ ! -e $peers/.made ] || [ bench/peers/requirements.txt -nt $peers/.made ] || [ requirements/bench.txt -nt $peers/.made ]; then
    echo "Setting up $peers (once; about a minute) ..."
    ${PYTHON:-python3} -m venv $peers
    PIP_CONSTRAINT=requirements/bench.txt $peers/bin/python -m pip install --quiet --disable-pip-version-check --upgrade -r bench/peers/requirements.txt
    touch $peers/.made
fi
exec .venv/bin/python -m bench "$@"
