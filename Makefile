# The commands a developer needs; what they do is in ci/, bench/ and Cargo.toml.

.PHONY: build check fmt test bench compare

# The broker, as it is run: target/release/leveret
build:
	cargo build --locked --release

# Quick: formatting, lints and the tests of one build.
check:
	ci/lint
	cargo test --locked --workspace

fmt:
	cargo fmt --all

# Everything, in stages with time budgets; gets what it needs by itself.
test:
	ci/test

# Rates and latencies of the release build on this machine.
bench: build
	bench/run

# All rows beside RabbitMQ, as a report in target/compare: hours.
compare: build
	bench/compare
