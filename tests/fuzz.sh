#!/usr/bin/env bash
# Coverage-guided fuzzing of the readers in tests/fuzz/readers, see tests/libfuzzer/README.md.
#   tests/fuzz.sh run MINUTES [READER…]  each reader, or those named, for so many minutes
#   tests/fuzz.sh keep [READER…]         the shortest of what their runs came upon into tests/corpus
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    sed -n '2,4s/^# //p' "$0" >&2
    exit 1
}
mode=${1:-}
case $mode in
run)
    minutes=${2:-}
    [[ $minutes =~ ^[1-9][0-9]*$ ]] || usage
    shift 2
    ;;
keep) shift ;;
*) usage ;;
esac
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz is missing: run 'cargo install --locked cargo-fuzz'" >&2
    exit 1
fi
[ $# -gt 0 ] || set -- $(ls tests/corpus)
for reader in "$@"; do
    if [ ! -d "tests/corpus/$reader" ]; then
        echo "no reader is called $reader: one of" $(ls tests/corpus) >&2
        exit 1
    fi
done

# The plugins are loaded as the daemon loads them, which refuses what others may write.
umask 022
# The pinned rustc is stable: it takes the flags for coverage and has no sanitizers, which safe Rust
# can do without. `-rdynamic`: the loaded plugins count their coverage with the program's counters.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="${RUSTFLAGS:-} -C link-arg=-rdynamic" cargo fuzz build --fuzz-dir tests/libfuzzer \
    --target-dir target/fuzz --target "$host" --sanitizer none reader
built=target/fuzz/$host/release
for plugin in pgp pkix; do
    ln -f "$built/deps/libhallmark_plugin_$plugin.so" "$built/"
done

# Daemons and key files of the readers; in memory where there is such a place.
TMPDIR=$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)/hallmark-fuzz-XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

# A program that has no main of Rust's is ended by SIGPIPE where the daemon gets an error.
trap '' PIPE

# One reader under libFuzzer. 64 KiB are as long as the inputs of tests/fuzz.
libfuzzer() {
    HALLMARK_FUZZ_READER=$1 "$built/reader" -max_len=65536 -timeout=5 -rss_limit_mb=512 "${@:2}"
    find "$TMPDIR" -mindepth 1 -delete
}

run() {
    local found=target/fuzz/corpus/$1 artifacts=target/fuzz/artifacts/$1 log=target/fuzz/$1.log
    mkdir -p "$found" "$artifacts"
    local failed=0
    libfuzzer "$1" -max_total_time=$((minutes * 60)) -report_slow_units=1 -print_final_stats=1 \
        -artifact_prefix="$artifacts/" "$found" "tests/corpus/$1" >"$log" 2>&1 || failed=1
    local stat="sed -n s/^stat::\(.*\):[[:space:]]*/\1=/p"
    echo "$1: $minutes min, $(grep -o 'cov: [0-9]*' "$log" | tail -n 1)," \
        "$($stat "$log" | grep -E 'number_of_executed_units|slowest_unit|peak_rss' | paste -sd' ')"
    # A slow unit may be one that the machine was too busy for: a person looks.
    if [ $failed = 1 ] || ls "$artifacts" | grep -q .; then
        echo "$1: look into $log and $artifacts" >&2
        grep -E 'panicked|^==.*ERROR' -A 2 "$log" | head -n 6 >&2 || true
    fi
    return $failed
}

# The fewest of what was found that reach whatever the named seeds do not.
keep() {
    local least=target/fuzz/least/$1 seeds=tests/corpus/$1 file
    rm -rf "$least"
    mkdir -p "$least" "target/fuzz/corpus/$1"
    cp "$seeds"/good-* "$seeds"/bad-* "$least"
    libfuzzer "$1" -set_cover_merge=1 -use_counters=0 "$least" "$seeds" "target/fuzz/corpus/$1" \
        >"target/fuzz/$1.keep.log" 2>&1
    rm -f "$seeds"/found-*
    rm "$least"/good-* "$least"/bad-*
    # The shortest: they are what a person can read, and the others are found again from them.
    for file in $(ls -Sr "$least" | head -n 64); do
        cp "$least/$file" "$seeds/found-$(echo "$file" | cut -c 1-12)"
    done
    echo "$1: $(ls "$seeds" | wc -l) inputs, $(cat "$seeds"/* | wc -c) bytes"
}

failed=0
for reader in "$@"; do
    "$mode" "$reader" || failed=1
done
exit $failed
