# Two commands for a newcomer: `make demo` and `make test`. The others take their time: `make bench`,
# `make soak MINUTES=60`, `make memory`, `make fuzz MINUTES=1`.
# The umask: the daemon refuses to load a plugin that others may write.
.PHONY: demo test bench bench-lanes soak memory fuzz

demo:
	umask 022 && cargo build --release --package hallmark --package hallmark-plugin-pkix --package hallmark-plugin-pgp
	tests/demo.sh

test:
	tests/tools.sh
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps --document-private-items --quiet
	umask 022 && cargo build --workspace --all-targets
	cargo test --workspace
	tests/deny.sh

bench:
	umask 022 && cargo build --release --workspace
	cargo run --release --package hallmark-benches

# One core, whichever it is.
bench-lanes:
	taskset -c 0 cargo bench --package hallmark-lanes --bench bench-lanes

# Everything at once against a release build; PLANT=stale and its like must fail.
soak: MINUTES ?= 3
soak: under-test
	cargo run --release --package hallmark-tests --bin soak -- \
		--minutes $(MINUTES) $(if $(PLANT),--plant $(PLANT))

# 600,000 digests, 10,000 connections of strangers, every hostile body.
memory: under-test
	cargo run --release --package hallmark-tests --bin memory

.PHONY: under-test
under-test:
	umask 022 && cargo build --release --package hallmark --package hallmark-plugin-pkix \
		--package hallmark-plugin-pgp

# Minutes for each reader of tests/fuzz/readers, or for TARGET alone.
fuzz: MINUTES ?= 1
fuzz:
	tests/fuzz.sh run $(MINUTES) $(TARGET)
