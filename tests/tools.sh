#!/usr/bin/env bash
# The programs that the tests need beside Rust. Installs the Debian packages that are missing, or
# says in one line what to install; tests never pass by skipping.
set -euo pipefail

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need cc gcc
need c++ g++
need openssl openssl
need python3 python3
need softhsm2-util softhsm2
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)

if [ ${#missing[@]} -eq 0 ]; then
    :
elif command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
else
    echo "the tests need these Debian packages: ${missing[*]}" >&2
    exit 1
fi
"$(dirname "$0")/python/venv.sh"
