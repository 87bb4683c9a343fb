#!/usr/bin/env bash
# Build docs/ as a site in build/site; a broken link fails. Arguments are passed to mkdocs build.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=.venv-docs
if [ ! -e $folder/.made ] || [ setup.cfg -nt $folder/.made ] || [ requirements/site.txt -nt $folder/.made ]; then
    echo "Setting up $folder (once; less than a minute) ..."
    log=$(mktemp)
    if ! { .venv/bin/python -m venv $folder &&
        PIP_CONSTRAINT=requirements/site.txt $folder/bin/python -m pip install --quiet --disable-pip-version-check -e '.[site]'; } >"$log" 2>&1; then
        tail -20 "$log" >&2
        echo "docs.sh: could not set up $folder" >&2
        exit 1
    fi
    rm -f "$log"
    touch $folder/.made
fi
# The theme advertises its successor, and jieba reports the progress of loading its dictionary. Not --quiet: mkdocs would
# then ignore warnings in strict mode, too.
export NO_MKDOCS_2_WARNING=1
$folder/bin/python -W ignore -c "import jieba, logging, sys; jieba.setLogLevel(logging.WARNING)
from mkdocs.__main__ import cli; cli(sys.argv[1:])" build --strict "$@"
echo "Built build/site: open build/site/index.html, or with search: python -m http.server --directory build/site"
