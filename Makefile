# Two commands for a newcomer: `make demo` and `make test`. `make bench` takes its time.
# The umask: the daemon refuses to load a plugin that others may write.
.PHONY: demo test bench bench-lanes

demo:
	umask 022 && cargo build --release --package hallmark --package hallmark-plugin-pkix --package hallmark-plugin-pgp
	tests/demo.sh

test:
	tests/tools.sh
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- --deny warnings
	umask 022 && cargo build --workspace --all-targets
	cargo test --workspace
	tests/deny.sh

bench:
	umask 022 && cargo build --release --workspace
	cargo run --release --package hallmark-benches

# One core, whichever it is.
bench-lanes:
	taskset -c 0 cargo bench --package hallmark-lanes --bench bench-lanes
