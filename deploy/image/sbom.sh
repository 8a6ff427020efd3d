#!/bin/sh
# Writes the bill of materials of the static binary in CycloneDX JSON: every crate compiled into it, and a few that only tests
# enable.
#
# Usage: sbom.sh FILE [TARGET]
set -eu

file=${1:?where to write it}
target=${2:-x86_64-unknown-linux-musl}
cd "$(dirname "$0")/../.."

# cargo-cyclonedx only writes next to Cargo.toml.
name=registry-integrity-probe-sbom-$$
trap 'rm -f "$name.json"' EXIT
cargo cyclonedx --quiet --format json --spec-version 1.5 --target "$target" --no-build-deps --override-filename "$name"
# Replace the build directory, so that the bill does not depend on it.
sed "s|file://$PWD|file:///src|g" "$name.json" > "$file"
