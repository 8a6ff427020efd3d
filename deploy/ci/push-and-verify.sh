#!/bin/sh
# Pushes an image, and exits with 0 only if the registry then serves all of it.
#
#   push-and-verify.sh SOURCE IMAGE
#   push-and-verify.sh oci-archive:image.tar registry.example.com/app:1.4.2
#
# SOURCE is anything that skopeo reads; credentials come from `skopeo login` or `docker login`.
# Exit codes in addition to skopeo's: 1 the image is broken, 3 it could not be verified.
set -eu

source=${1:?the image to push, as skopeo names it}
image=${2:?where to push it, such as registry.example.com/app:1.4.2}

digest_file=$(mktemp)
trap 'rm -f "$digest_file"' EXIT

skopeo copy --all --digestfile "$digest_file" "$source" "docker://$image"

# By digest, because the tag may already belong to another push. A colon after the last slash starts a tag, any other colon a
# port.
name=${image##*/}
repository=${image%"$name"}${name%%:*}
registry-integrity-probe verify --retry-for 30s "$repository@$(cat "$digest_file")"
