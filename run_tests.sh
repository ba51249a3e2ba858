#!/usr/bin/env bash
# Every check there is: style, types, architecture, tests (those with a real Orthanc and a real browser too). Stops at the first that fails.
#   ./run_tests.sh                 all of it
#   ./run_tests.sh tests/system    the same checks, then only these tests
set -euo pipefail
cd "$(dirname "$0")"

section() { printf '\n== %s ==\n' "$1"; current=$1; }
trap 'status=$?; [ $status -eq 0 ] || printf "\nFAILED: %s (status %s)\n" "$current" "$status" >&2' EXIT

have() {
    for program in "$@"; do
        PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null || return 1
    done
}
have_services() { have Orthanc dciodvfy python3 && [ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ]; }
have_postgresql() { have initdb || compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null; }
install() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null; }

section "Orthanc, dciodvfy, Chromium, nginx, npm, PostgreSQL, Redis, Python"
if [ "$(id -u)" = 0 ] && have apt-get && ! { have_services && have chromium nginx npm redis-server && have_postgresql; }; then
    apt-get update -qq
    have_services || install orthanc orthanc-dicomweb dicom3tools python3 python3-venv
    for program in chromium nginx npm; do
        have "$program" || install "${program/nginx/nginx-light}" || true
    done
    have redis-server || install redis-server || true
    have_postgresql || install postgresql || true
fi
have_services || echo "Not all of Orthanc, its DICOMweb plugin and dicom3tools are installed: the tests that need them are skipped"
have redis-server && have_postgresql || echo "Not both of PostgreSQL and Redis are installed: the tests that need them are skipped"
have chromium nginx npm || echo "Not all of Chromium, nginx and npm are installed: the tests of the viewer that need them are skipped"
python3 services/bootstrap.py --prepare requirements-dev.txt
export PATH="$PWD/.venv/bin:$PATH"

section "ruff"
ruff check .
ruff format --check .

section "mypy"
mypy .

section "import-linter"
lint-imports

section "pytest"
python -m pytest "$@"
