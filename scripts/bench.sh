#!/bin/sh
# Measure the server beside its peers, which have their own environment. Arguments are passed to python -m bench.
set -eu
cd "$(dirname "$0")/.."

# A replay without servers.
case " $* " in *" --progress "*) exec .venv/bin/python -m bench "$@" ;; esac

peers=.venv-bench
if [ ! -e $peers/.made ] || [ bench/peers/requirements.txt -nt $peers/.made ] || [ requirements/bench.txt -nt $peers/.made ]; then
    echo "Setting up $peers (once; about a minute) ..."
    ${PYTHON:-python3} -m venv $peers
    PIP_CONSTRAINT=requirements/bench.txt $peers/bin/python -m pip install --quiet --disable-pip-version-check --upgrade -r bench/peers/requirements.txt
    touch $peers/.made
fi

base=.venv-base
if [ ! -e $base/.made ] || [ setup.cfg -nt $base/.made ] || [ requirements/dev.txt -nt $base/.made ]; then
    echo "Setting up $base, the base installation ..."
    ${PYTHON:-python3} -m venv $base
    PIP_CONSTRAINT=requirements/dev.txt $base/bin/python -m pip install --quiet --disable-pip-version-check --upgrade -e .
    touch $base/.made
fi
exec .venv/bin/python -m bench "$@"
