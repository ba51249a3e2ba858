#!/bin/sh
# Starts MetIA server on Debian, Ubuntu, macOS: finds a Python, the rest is services/bootstrap.py and services/launcher.py.
#   ./start_services.sh            start Orthanc, the API and the worker
#   ./start_services.sh --demo     and show on a synthetic patient that it works
#   ./start_services.sh --help     everything else
here=$(cd -- "$(dirname -- "$0")" && pwd) || exit 1

find_python() {
    for python in python3 python3.13 python3.12 python3.11 python; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            return 0
        fi
    done
    return 1
}

if ! find_python && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Python (apt-get) ..."
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && { apt-get install -y -qq python3 python3-venv; apt-get install -y -qq python3.11 python3.11-venv; } >/dev/null 2>&1
fi
if ! find_python; then
    echo "Python 3.11 or newer is needed (Debian, Ubuntu: sudo apt-get install python3 python3-venv)" >&2
    exit 1
fi
exec "$python" "$here/services/bootstrap.py" "$@"
