#!/bin/sh
# Runs a registry's garbage collection, if a scan predicts no damage.
#
# Usage: registry-garbage-collect.sh CONFIG ROOT [2|3]
#   CONFIG  the registry's configuration, as for `registry garbage-collect`
#   ROOT    its storage, filesystem.rootdirectory in CONFIG
#   2|3     the registry's version, default 2
#
# Nothing may be pushed between the scan and the end of the collection: stop the registry, or restart it read-only
# (storage.maintenance.readonly.enabled: true).
#
# Environment:
#   REGISTRY  the registry's binary, default docker-registry (Debian's name; upstream's is registry)
#   TEXTFILE  file for node_exporter's textfile collector, default: none
#   DELETE_UNTAGGED=1  collect with --delete-untagged; with registry 2 this breaks multi-platform images, and the scan
#                      fails
set -eu

config=$1
root=$2
engine=${3:-2}

set -- --engine "$engine"
collect=
if [ "${DELETE_UNTAGGED:-0}" = 1 ]; then
    set -- "$@" --delete-untagged
    collect=--delete-untagged
fi
if [ -n "${TEXTFILE:-}" ]; then
    set -- "$@" --textfile "$TEXTFILE"
fi

# Any status except 0 (broken, would break, or unverified) ends the script with the scan's status.
registry-integrity-probe scan "$@" "$root"
exec "${REGISTRY:-docker-registry}" garbage-collect $collect "$config"
