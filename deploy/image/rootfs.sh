#!/bin/sh
# Lays out the image's files: the static binary, who runs it, whom it trusts, and what it is made of.
#
# Usage: rootfs.sh BINARY SBOM CERTIFICATES FOLDER
#   CERTIFICATES  the authorities to trust, one PEM file, such as /etc/ssl/certs/ca-certificates.crt
set -eu

binary=${1:?the static binary}
sbom=${2:?its bill of materials}
certificates=${3:?the authorities to trust}
root=${4:?where to lay it out}
source=$(cd "$(dirname "$0")/../.." && pwd)

install -D -m 0755 "$binary" "$root/usr/local/bin/registry-integrity-probe"
install -D -m 0644 "$certificates" "$root/etc/ssl/certs/ca-certificates.crt"
install -D -m 0644 "$sbom" "$root/usr/share/sbom/registry-integrity-probe.cdx.json"
install -D -m 0644 "$source/LICENSE" "$root/usr/share/licenses/registry-integrity-probe/LICENSE"

# Nobody but 65532, the id that distroless images made usual; without a shell and without a home.
printf 'nonroot:x:65532:65532:nonroot:/nonexistent:/sbin/nologin\n' > "$root/etc/passwd"
printf 'nonroot:x:65532:\n' > "$root/etc/group"
chmod 0644 "$root/etc/passwd" "$root/etc/group"
find "$root" -type d -exec chmod 0755 {} +
