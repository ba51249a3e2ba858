#!/usr/bin/env bash
# Every check there is: style, types, architecture, tests (those against a real Orthanc too). Stops at the first that fails.
#   ./run_tests.sh                 all of it
#   ./run_tests.sh tests/system    the same checks, then only these tests
set -euo pipefail
cd "$(dirname "$0")"

section() { printf '\n== %s ==\n' "$1"; current=$1; }
trap 'status=$?; [ $status -eq 0 ] || printf "\nFAILED: %s (status %s)\n" "$current" "$status" >&2' EXIT

have_services() {
    for program in Orthanc dciodvfy python3; do
        PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null || return 1
    done
    [ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ]
}

section "Orthanc, dciodvfy, Python"
if ! have_services && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq orthanc orthanc-dicomweb dicom3tools python3 python3-venv >/dev/null
fi
have_services || echo "Not all of Orthanc, its DICOMweb plugin and dicom3tools are installed: the tests that need them are skipped"
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
