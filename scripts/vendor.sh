#!/usr/bin/env bash
# Renew the third-party scripts of the pages: VENDOR_MARKED=18.2.1 VENDOR_DOMPURIFY=3.5.0 scripts/vendor.sh, or without
# versions the newest ones. The files are the published ones, unchanged; vendored.toml has their versions and checksums.
set -euo pipefail
cd "$(dirname "$0")/.."
assets=persona_stream/pages/assets

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$folder" \
    "marked@${VENDOR_MARKED:-latest}" "dompurify@${VENDOR_DOMPURIFY:-latest}"

echo "# Written by scripts/vendor.sh." >"$assets/vendored.toml"

# vendor PACKAGE FILE NAME: copy a file of a package and its licence, and record them.
vendor() {
    local package=$1 source=$folder/node_modules/$1
    cp "$source/$2" "$assets/$3"
    cp "$source/LICENSE" "$assets/LICENSE.$package.txt"
    cat >>"$assets/vendored.toml" <<TOML

["$3"]
package = "$package"
version = "$(node -p "require('$source/package.json').version")"
license = "$(node -p "require('$source/package.json').license")"
license_file = "LICENSE.$package.txt"
sha256 = "$(sha256sum "$assets/$3" | cut -d' ' -f1)"
TOML
}

vendor marked lib/marked.esm.js marked.js
vendor dompurify dist/purify.min.js purify.js
cat "$assets/vendored.toml"
