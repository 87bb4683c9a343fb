#!/bin/sh
# Install the named services from Debian's packages when running as root on a Debian system. Elsewhere print one line that
# says what will be skipped. With CI=true a missing service is a failure.
#
# The headless shell is Chromium without windows and needs half the CPU time; Chromium itself is the alternative. The CJK
# font is for the screenshots of the Chinese pages.
set -eu

chromium="chromium-headless-shell fonts-wqy-microhei"
missing=""
for service in "$@"; do
    case $service in
        chromium)   command -v chromium-headless-shell >/dev/null || missing="$missing $chromium" ;;
        postgresql) ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing="$missing postgresql" ;;
        rabbitmq-server) [ -x /usr/sbin/rabbitmq-server ] || command -v "$service" >/dev/null || missing="$missing $service" ;;
        golang-go)  command -v go >/dev/null || missing="$missing $service" ;;
        redis-server | nginx | curl | npm)
                    command -v "$service" >/dev/null || missing="$missing $service" ;;
        *)          echo "services.sh: unknown service $service" >&2; exit 2 ;;
    esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing$missing (once) ..."
    log=$(mktemp)
    if { apt-get -o Acquire::Retries=0 -o Acquire::http::Timeout=20 update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
        rm -f "$log"
        exit 0
    fi
    tail -20 "$log" >&2
fi
if [ "$missing" = " $chromium" ] && command -v chromium >/dev/null; then
    exit 0
fi

if [ "${CI:-}" = true ]; then
    echo "services.sh: could not install$missing; in CI no test may be skipped" >&2
    exit 1
fi
echo "Skipping what needs$missing (to run it: apt-get install$missing)"
