"""The checks of `scan`, as one would write them down in Python: for comparison."""

import hashlib
import json
import os
import re
import sys

root = os.path.join(sys.argv[1], "docker/registry/v2")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")


def read_links(folder):
    """The links below a folder: digest of the path -> digest in the file, or None."""
    links = {}
    for path, _, files in os.walk(folder):
        if "link" in files:
            algorithm, digits = path.split("/")[-2:]
            with open(os.path.join(path, "link")) as file:
                content = file.read()
            links[f"{algorithm}:{digits}"] = content if DIGEST.fullmatch(content) else None
    return links


def read_tags(folder):
    tags = {}
    for tag in os.listdir(folder) if os.path.isdir(folder) else []:
        try:
            with open(os.path.join(folder, tag, "current/link")) as file:
                tags[tag] = file.read()
        except FileNotFoundError:
            tags[tag] = None
    return tags


repositories = {}
for path, folders, _ in os.walk(os.path.join(root, "repositories")):
    if "_layers" in folders or "_manifests" in folders:
        tags = read_tags(os.path.join(path, "_manifests/tags"))
        revisions = read_links(os.path.join(path, "_manifests/revisions"))
        layers = read_links(os.path.join(path, "_layers"))
        repositories[os.path.relpath(path, os.path.join(root, "repositories"))] = (tags, revisions, layers)
    folders[:] = sorted(folder for folder in folders if not folder.startswith("_"))

blobs = {}
for path, _, files in os.walk(os.path.join(root, "blobs")):
    if "data" in files:
        algorithm, _, digits = path.split("/")[-3:]
        blobs[f"{algorithm}:{digits}"] = os.stat(os.path.join(path, "data")).st_size

manifests = {}
findings = []


def read_manifest(digest):
    if digest not in manifests and digest in blobs:
        algorithm, digits = digest.split(":")
        with open(os.path.join(root, "blobs", algorithm, digits[:2], digits, "data"), "rb") as file:
            content = file.read()
        if hashlib.new(algorithm, content).hexdigest() != digits:
            findings.append(("digest_mismatch", digest))
        try:
            manifest = json.loads(content)
        except ValueError:
            findings.append(("malformed", digest))
            manifest = {}
        children = [(it["digest"], it["size"]) for it in manifest.get("manifests", [])]
        needed = [(it["digest"], it["size"]) for it in [manifest["config"], *manifest["layers"]]] if not children else []
        manifests[digest] = (children, needed)
    return manifests.get(digest, ([], []))


for name, (tags, revisions, layers) in repositories.items():
    for tag, digest in tags.items():
        if digest not in revisions:
            findings.append(("dangling_tag", name, tag))
    for digest, target in revisions.items():
        if target is None:
            findings.append(("bad_link", name, digest))
            continue
        if target not in blobs:
            findings.append(("missing_data", name, digest))
            continue
        children, needed = read_manifest(target)
        for child, size in children:
            if child not in revisions:
                findings.append(("orphan_child", name, child))
            elif blobs.get(child, size) != size:
                findings.append(("size_mismatch", name, child))
        for layer, size in needed:
            if layer not in layers or layers[layer] not in blobs:
                findings.append(("missing_layer", name, layer))
            elif blobs[layers[layer]] != size:
                findings.append(("size_mismatch", name, layer))
    for digest, target in layers.items():
        if target not in blobs:
            findings.append(("orphan_layer_link", name, digest))


def collect(engine, delete_untagged):
    """What a collection deletes, and the images' parts among that."""
    marked, queue = set(), []

    def visit(revisions, digest):
        children, needed = read_manifest(digest)
        for it, _ in children + needed:
            if it not in marked:
                marked.add(it)
                if engine == 3 and it in revisions and it in blobs:
                    visit(revisions, it)

    for name, (tags, revisions, layers) in repositories.items():
        tagged = set(tags.values())
        for digest, target in sorted(revisions.items()):
            if target not in blobs:
                continue
            if delete_untagged and digest not in tagged:
                queue.append((name, digest))
                continue
            marked.add(digest)
            visit(revisions, target)
    if engine == 3:
        queue = [(name, digest) for name, digest in queue if digest not in marked]
    deleted = {digest for digest in blobs if digest not in marked}
    unlinked = set(queue)
    damage = []
    for name, (tags, revisions, layers) in repositories.items():
        for tag, digest in tags.items():
            pending = [digest]
            while pending:
                it = pending.pop()
                if it in blobs and (it in deleted or (name, it) in unlinked):
                    damage.append((name, tag, it, f"{name}:{tag} loses {it}"))
                children, needed = read_manifest(it)
                pending.extend(child for child, _ in children)
                damage.extend((name, tag, it, f"{name}:{tag} loses {it}") for it, _ in needed if it in deleted)
    return len(deleted), sum(blobs[digest] for digest in deleted), len(damage)


for engine in (2, 3):
    for delete_untagged in (False, True):
        print(engine, delete_untagged, collect(engine, delete_untagged))
print(len(repositories), len(blobs), len(findings), "findings")
