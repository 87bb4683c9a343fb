#!/bin/sh
# Install the named services from Debian's packages, where that is ours to do: as root, on a Debian system.
# Elsewhere say in one line what will be skipped. With CI=true a missing service is a failure.
set -eu

missing=""
for service in "$@"; do
    case $service in
        chromium | redis-server | nginx)
                    command -v "$service" >/dev/null || missing="$missing $service" ;;
        *)          echo "services.sh: unknown service $service" >&2; exit 2 ;;
    esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing$missing (once) ..."
    log=$(mktemp)
    if { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
        rm -f "$log"
        exit 0
    fi
    tail -20 "$log" >&2
fi

if [ "${CI:-}" = true ]; then
    echo "services.sh: could not install$missing, and CI skips nothing" >&2
    exit 1
fi
echo "Skipping the tests that need$missing (to run them: apt-get install$missing)"
