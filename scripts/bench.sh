#!/bin/sh
# Measure the server beside its peers, which have their own environment. Arguments are passed to python -m bench.
set -eu
cd "$(dirname "$0")/.."

# A replay without servers.
case " $* " in *" --progress "*) exec .venv/bin/python -m bench "$@" ;; esac

# peers FOLDER REQUIREMENTS LOCK: create or update an environment for peers.
peers() {
    if [ ! -e "$1/.made" ] || [ "$2" -nt "$1/.made" ] || [ "$3" -nt "$1/.made" ]; then
        echo "Setting up $1 (once; about a minute) ..."
        ${PYTHON:-python3} -m venv "$1"
        PIP_CONSTRAINT=$3 "$1/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade -r "$2"
        touch "$1/.made"
    fi
}

case " $* " in *" --sentences "*)
    peers .venv-sentences bench/peers/sentence_segmenters.txt requirements/sentences.txt
    exec .venv/bin/python -m bench "$@"
    ;;
esac

peers .venv-bench bench/peers/requirements.txt requirements/bench.txt

base=.venv-base
if [ ! -e $base/.made ] || [ setup.cfg -nt $base/.made ] || [ requirements/dev.txt -nt $base/.made ]; then
    echo "Setting up $base, the base installation ..."
    ${PYTHON:-python3} -m venv $base
    PIP_CONSTRAINT=requirements/dev.txt $base/bin/python -m pip install --quiet --disable-pip-version-check --upgrade -e .
    touch $base/.made
fi

# The benchmark names the missing package and leaves out the peer if its program does not exist.
go=build/bench/go_peer
if [ ! -e $go ] || [ bench/peers/go_peer.go -nt $go ]; then
    rm -f $go
    CI= scripts/services.sh golang-go >/dev/null
    if command -v go >/dev/null; then
        mkdir -p build/bench
        go build -o $go bench/peers/go_peer.go
    fi
fi
exec .venv/bin/python -m bench "$@"
