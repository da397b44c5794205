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

# An agent's day: a million lines in ten minutes; LOGQ_DAY_SEED repeats one, LOGQ_DAY_KEEP=1 keeps its files
day $LOGQ_DAY_LINES="1000000" $LOGQ_DAY_SECONDS="600":
    cargo test --locked -p logq --test day

# A million mutated inputs for each parser; LOGQ_MUTATION_SEED repeats a run
mutations $LOGQ_MUTATIONS="1000000":
    cargo test --release --locked -p wire -p ql -p query -p service -p store -p spool -p agent mutated -- --nocapture

# `just bench ingest`, `just bench queries`, `just bench report`, `just bench agent`
bench *ARGUMENTS:
    cargo build --release --locked
    cargo build --release --locked -p agent
    cargo run --release --locked -p bench -- {{ ARGUMENTS }}

# The store's promises in long runs: histories over models of disk and catalog, damage, kills at each failpoint
night $LOGQ_MODEL_CASES="1000" $LOGQ_DAMAGE_CASES="1000" $LOGQ_KILL_ROUNDS="200":
    cargo test --locked -p store --lib -- --nocapture tests::model tests::damage
    cargo test --locked -p logq --test kill -- --nocapture failpoints
    cargo test --locked -p logq --test deletes -- --nocapture

# Ten minutes at 20 MB/s with questions and kill -9; the verdict and every second go to bench/results/
soak *ARGUMENTS:
    cargo build --release --locked
    cargo run --release --locked -p bench -- soak --results bench/results {{ ARGUMENTS }}

# Licenses, banned crates, sources; needs cargo-deny
deny:
    cargo deny --locked check bans licenses sources

# What runs on every submission
ci:
    bash .ci/run
