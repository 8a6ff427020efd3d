# What a developer does all day; `just` lists it.

default:
    @just --list

# The whole product with nothing installed
demo:
    cargo run --release -- demo

# Format, lint, and read the documentation's warnings
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet

# All tests; those whose peers are not installed say so and are skipped
test:
    cargo test

# All tests, none skipped
test-all:
    . .ci/common && REQUIRE_PEERS=1 cargo test

# All tests that need no peer, in an environment that hides every peer
test-without-peers:
    .ci/test-without-peers

# Install the peers, on Debian
install-peers:
    .ci/install

# Everything that must hold before a change lands
ci:
    .ci/run
