#!/bin/sh
# Collects the garbage of a registry's storage, if a scan says that this breaks nothing.
#
# Usage: registry-garbage-collect.sh CONFIG ROOT [2|3]
#   CONFIG  the registry's configuration, as for `registry garbage-collect`
#   ROOT    its storage: filesystem.rootdirectory in CONFIG
#   2|3     the registry's version, default 2
#
# Nobody may push between the scan and the end of the collection: run it while the registry is stopped, or read-only
# (storage.maintenance.readonly.enabled: true, and restarted with it).
#
# From the environment:
#   REGISTRY  the registry's program, default docker-registry (Debian's name; upstream's is registry)
#   TEXTFILE  where to write metrics for node_exporter's textfile collector, default: nowhere
#   DELETE_UNTAGGED=1  collect with --delete-untagged; with registry 2 this breaks multi-platform images, and the scan
#                      says so
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

# Any status but 0 (something is broken, would break, or could not be judged) ends it here, with the scan's status.
registry-integrity-probe scan "$@" "$root"
exec "${REGISTRY:-docker-registry}" garbage-collect $collect "$config"
