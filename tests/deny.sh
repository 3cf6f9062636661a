#!/usr/bin/env bash
# The dependency gate: licences, bans and sources by cargo-deny (deny.toml). The advisory database
# is fetched where the network allows it.
set -euo pipefail

if ! cargo deny --version >/dev/null 2>&1; then
    cargo install --locked --quiet cargo-deny || {
        echo "cargo-deny cannot be installed: run 'cargo install --locked cargo-deny'" >&2
        exit 1
    }
fi
cargo deny --all-features check bans licenses sources
if git ls-remote --quiet https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1; then
    cargo deny --all-features check advisories
else
    echo "advisories: not checked, the advisory database is out of reach"
fi
