"""A home-made probe: a session a thread, over the requests of a sweep."""

import http.client
import sys
from concurrent.futures import ThreadPoolExecutor

try:
    import requests
except ImportError:
    requests = None

address, path = sys.argv[1:]
ACCEPT = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
    )
)
with open(path) as file:
    work = [line.split() for line in file]


def ask_all(part):
    session = requests.Session() if requests else http.client.HTTPConnection(address)
    for method, target, byte in part:
        headers = {"Accept": ACCEPT}
        if byte != "-":
            headers["Range"] = f"bytes={byte}-{byte}"
        if requests:
            status = session.request(method, f"http://{address}{target}", headers=headers).status_code
        else:
            session.request(method, target, headers=headers)
            answer = session.getresponse()
            answer.read()
            status = answer.status
        assert status in (200, 206), (status, method, target)


with ThreadPoolExecutor(8) as pool:
    list(pool.map(ask_all, [work[n::8] for n in range(8)]))
