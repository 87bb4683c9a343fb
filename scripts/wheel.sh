#!/usr/bin/env bash
# Build the wheel and the source distribution into dist/, check them with twine, and try the wheel in an empty environment.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

${PYTHON:-python3} -m venv "$folder/tools"
PIP_CONSTRAINT=requirements/build.txt "$folder/tools/bin/python" -m pip --disable-pip-version-check install --quiet build twine
rm -rf dist
# From a copy of the tracked files: setuptools would add the files that an earlier build has listed in *.egg-info.
mkdir "$folder/source"
git ls-files -z | tar --create --null --files-from - | tar --extract --directory "$folder/source"
"$folder/tools/bin/python" -m build --outdir dist "$folder/source"
"$folder/tools/bin/twine" check --strict dist/*

${PYTHON:-python3} -m venv "$folder/empty"
wheel=$(realpath dist/*.whl)
constraints=$(realpath requirements/dev.txt)
cd "$folder"   # away from the source, so that the installed package is tried
cat >bot.py <<'PYTHON'
def ask(message):
    return f"You asked: {message}"
PYTHON
export XDG_STATE_HOME=$folder/state
server=
trap 'kill $server 2>/dev/null || true; rm -rf "$folder"' EXIT

# try EXTRAS: install the wheel with extras, and use it as a user would.
try() {
    PIP_CONSTRAINT=$constraints empty/bin/python -m pip --disable-pip-version-check install --quiet "$wheel$1"
    du -sh empty | awk -v extras="$1" '{print "installed" extras ": " $1}'
    empty/bin/persona-stream serve --backend bot:ask --port 0 >out.txt 2>err.txt &
    server=$!
    for _ in $(seq 200); do grep -q "Stop:" out.txt && break; sleep 0.1; done
    local url answer path
    url=$(grep -o "http://127.0.0.1:[0-9]*" out.txt | head -1) || { cat err.txt; exit 1; }
    answer=$(empty/bin/persona-stream chat --url "$url" "What is new?" 2>/dev/null)
    test "$answer" = "You asked: What is new?"
    for path in / /assets/markdown.js /dashboard/assets/main.js /openapi.json; do
        empty/bin/python -c "import sys, urllib.request; urllib.request.urlopen(sys.argv[1]).read()" "$url$path"
    done
    kill "$server"
    wait "$server" || true
}

try ""
try "[all]"   # with a database, whose tables are migrated
ls -l "$(dirname "$wheel")"
