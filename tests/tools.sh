#!/usr/bin/env bash
# The programs that the tests need beside Rust. Installs the Debian packages that are missing, or
# says in one line what to install; tests never pass by skipping.
set -euo pipefail

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need cc gcc
need c++ g++
need curl curl
need make make
need openssl openssl
need gpg gnupg
need gpgv gpgv
need sqv sqv
need python3 python3
need script bsdutils
[ -e /usr/include/openssl/evp.h ] || missing+=(libssl-dev)
need promtool prometheus
# The chart is rendered with what Helm is made of, since Debian has no Helm.
need go golang-go
go_library() { [ -d "/usr/share/gocode/src/$1" ] || missing+=("$2"); }
go_library github.com/Masterminds/sprig golang-github-masterminds-sprig-dev
go_library github.com/xeipuuv/gojsonschema golang-github-xeipuuv-gojsonschema-dev
go_library sigs.k8s.io/yaml golang-k8s-sigs-yaml-dev
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
minor=$(kubectl version --client --output=json 2>/dev/null | sed -n 's/.*"minor": "\([0-9]*\).*/\1/p' | head -n 1 || true)
if [ "${minor:-0}" -lt 27 ]; then
    echo "kubectl 1.27 or later is not here: tests/deploy/kustomize.rs alone says what Kustomize makes of deploy/" >&2
fi
"$(dirname "$0")/python/venv.sh"
