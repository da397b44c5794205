# The daily loop. A fresh clone needs none of this: `cargo test --workspace` is enough.

default: check

# Format, lints, tests
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo test --workspace --locked

# Tests alone; arguments go to cargo test
test *ARGUMENTS:
    cargo test --workspace --locked {{ ARGUMENTS }}

# Collector and query in one process
run *ARGUMENTS:
    cargo run --release --locked -- up {{ ARGUMENTS }}

# `just bench ingest`, `just bench queries`, `just bench report`, `just bench agent`
bench *ARGUMENTS:
    cargo build --release --locked
    cargo build --release --locked -p agent
    cargo run --release --locked -p bench -- {{ ARGUMENTS }}

# Licenses, banned crates, sources; needs cargo-deny
deny:
    cargo deny --locked check bans licenses sources

# What runs on every submission
ci:
    bash .ci/run
