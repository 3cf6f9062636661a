#!/usr/bin/env bash
# Google's Python clients, from the Python package index, in a virtual environment under target/.
# Does nothing where they are there already.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/python
venv=${CARGO_TARGET_DIR:-target}/python

if ! cmp -s $here/requirements.txt "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" --quiet --disable-pip-version-check install --requirement $here/requirements.txt
    cp $here/requirements.txt "$venv/requirements.txt"
fi
