# Two commands for a newcomer: `make demo` and `make test`. `make bench` takes its time.
.PHONY: demo test bench bench-lanes

demo:
	cargo build --release --package hallmark --package hallmark-plugin-pkix
	tests/demo.sh

test:
	tests/tools.sh
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- --deny warnings
	cargo build --workspace --all-targets
	cargo test --workspace
	tests/deny.sh

bench:
	cargo build --release --workspace
	cargo run --release --package hallmark-benches

# One core, whichever it is.
bench-lanes:
	taskset -c 0 cargo bench --package hallmark-lanes --bench bench-lanes
