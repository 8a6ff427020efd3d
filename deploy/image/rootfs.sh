#!/bin/sh
# Lays out the image's files: the static binary, its user, CA certificates and the bill of materials.
#
# Usage: rootfs.sh BINARY SBOM CERTIFICATES FOLDER
#   CERTIFICATES  the CAs to trust, one PEM file, such as /etc/ssl/certs/ca-certificates.crt
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

# Only user 65532, as in distroless images; no shell, no home.
printf 'nonroot:x:65532:65532:nonroot:/nonexistent:/sbin/nologin\n' > "$root/etc/passwd"
printf 'nonroot:x:65532:\n' > "$root/etc/group"
chmod 0644 "$root/etc/passwd" "$root/etc/group"
find "$root" -type d -exec chmod 0755 {} +
