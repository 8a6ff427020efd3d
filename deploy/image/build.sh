#!/bin/sh
# Builds the image from this source with installed tools: no base image and no daemon.
#
# Usage: build.sh [ARCHIVE]
#   ARCHIVE  the OCI archive to write, default registry-integrity-probe.oci.tar
#
# Needs cargo with the target x86_64-unknown-linux-musl (rustup target add x86_64-unknown-linux-musl), musl-gcc (Debian:
# musl-tools), cargo-cyclonedx, buildah, and CA certificates (ca-certificates). Prints the image's digest, which is the same for
# the same source, compiler and CA bundle.
#
# Environment:
#   PROFILE       cargo's profile, default release
#   BINARY        a static binary to use instead of building one
#   CERTIFICATES  the CAs to trust, default /etc/ssl/certs/ca-certificates.crt
set -eu

archive=${1:-registry-integrity-probe.oci.tar}
case $archive in /*) ;; *) archive=$PWD/$archive ;; esac
target=x86_64-unknown-linux-musl
profile=${PROFILE:-release}
source=$(cd "$(dirname "$0")/../.." && pwd)
cd "$source"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
revision=${BUILD_REVISION:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
# The time of the last commit, so that the same source gives the same image.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

binary=${BINARY:-}
if [ -z "$binary" ]; then
    cargo build --quiet --locked --profile "$profile" --target "$target"
    folder=$profile
    if [ "$profile" = dev ]; then folder=debug; fi
    binary=${CARGO_TARGET_DIR:-target}/$target/$folder/registry-integrity-probe
fi
# The image has no dynamic loader.
case $(ldd "$binary" 2>&1) in
*"statically linked"* | *"not a dynamic executable"*) ;;
*)
    echo "$binary is not linked statically" >&2
    exit 1
    ;;
esac

deploy/image/sbom.sh "$work/sbom.cdx.json" "$target"
deploy/image/rootfs.sh "$binary" "$work/sbom.cdx.json" "${CERTIFICATES:-/etc/ssl/certs/ca-certificates.crt}" \
    "$work/context/rootfs"

buildah="buildah --root $work/storage --runroot $work/run --storage-driver vfs"
$buildah build --quiet --isolation chroot --format oci --timestamp "$SOURCE_DATE_EPOCH" --target prebuilt \
    --build-arg VERSION="$version" --build-arg REVISION="$revision" \
    --file deploy/image/Containerfile --tag "registry-integrity-probe:$version" "$work/context" >/dev/null
rm -f "$archive"
$buildah push --quiet --digestfile "$work/digest" "registry-integrity-probe:$version" \
    "oci-archive:$archive:registry-integrity-probe:$version"
cat "$work/digest"
echo
