"""Validates Kubernetes objects, as the API server of a version would, but for what only a running one can know.

usage: validate_objects.py KUBERNETES_VERSION CRD_DIRECTORY < documents.yaml

Objects of Kubernetes' own kinds are held against its published schemas, and unknown fields are errors. Those of the
Prometheus operator are held against the schemas in its CustomResourceDefinitions, where an object with named fields
takes no others, as with `kubectl apply --validate=strict`. Prints one line for each fault; exits with 1 if there is one.
"""

import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml


def strict(schema):
    """The schema, without unknown fields."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    return closed


def custom_schemas(directory):
    schemas = {}
    for path in pathlib.Path(directory).glob("*.yaml"):
        definition = yaml.safe_load(path.read_text())
        for version in definition["spec"]["versions"]:
            kind = (f"{definition['spec']['group']}/{version['name']}", definition["spec"]["names"]["kind"])
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            schemas[kind] = schema
    return schemas


def faults(document, kubernetes_version, custom):
    kind = (document.get("apiVersion"), document.get("kind"))
    if kind in custom:
        validator = jsonschema.Draft202012Validator(custom[kind])
        return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(document)]
    try:
        kubernetes_validate.validate(document, kubernetes_version, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return [f"{type(error).__name__}: {error}"]
    return []


def main():
    kubernetes_version, directory = sys.argv[1:]
    custom = custom_schemas(directory)
    documents = [document for document in yaml.safe_load_all(sys.stdin) if document is not None]
    if not documents:
        sys.exit("there is no object")
    found = 0
    for document in documents:
        name = f"{document.get('kind')}/{document.get('metadata', {}).get('name')}"
        for fault in faults(document, kubernetes_version, custom):
            found += 1
            print(f"{name}: {fault}")
    print(f"{len(documents)} objects, {found} faults", file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
