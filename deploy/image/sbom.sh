#!/bin/sh
# Writes the bill of materials of the static binary: every crate that is compiled into it, in CycloneDX's JSON. A few more
# are in it, which only tests turn on in others.
#
# Usage: sbom.sh FILE [TARGET]
set -eu

file=${1:?where to write it}
target=${2:-x86_64-unknown-linux-musl}
cd "$(dirname "$0")/../.."

# It writes beside Cargo.toml alone.
name=registry-integrity-probe-sbom-$$
trap 'rm -f "$name.json"' EXIT
cargo cyclonedx --quiet --format json --spec-version 1.5 --target "$target" --no-build-deps --override-filename "$name"
# Whose folder this is does not matter to anybody else.
sed "s|file://$PWD|file:///src|g" "$name.json" > "$file"
