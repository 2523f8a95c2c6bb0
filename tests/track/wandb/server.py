"""A W&B server of the size that the client's run protocol needs, on this machine's loopback."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROJECT = {"id": "p", "name": "moco-harness", "entity": {"id": "e", "name": "lab"}}


def _file(url: str, name: str) -> dict[str, Any]:
    where: dict[str, Any] = {
        "uploadUrl": f"{url}/up/{name}",
        "uploadHeaders": [],
        "uploadMultipartUrls": None,
    }
    return {"id": "f", "name": name, "displayName": name, "storagePath": name, **where}


@dataclass
class Server:
    """What the server was told.

    Attributes:
        history: rows of each run id.
        exits: exit codes with which each run was ended.
        alerts: (run id, title).
        committed: artifacts, as "name:digest".
        of: those that each run logged, made or used.
        used: those that each run used.
        files: names of the files of artifacts that were uploaded.
        garbage: whether nothing is said of an artifact that was to be created, at which wandb's own
            process crashes.
        refuse: an HTTP status to answer everything with; 0 for none.
        refuse_runs: the same for what concerns runs.
    """

    url: str = ""
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    exits: dict[str, list[int]] = field(default_factory=dict)
    variables: dict[str, dict[str, Any]] = field(default_factory=dict)
    alerts: list[tuple[str, str]] = field(default_factory=list)
    committed: set[str] = field(default_factory=set)
    of: dict[str, list[str]] = field(default_factory=dict)
    used: dict[str, list[str]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    garbage: bool = False
    refuse: int = 0
    refuse_runs: int = 0

    def graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables.get("name", "")
        if "upsertBucket" in query:
            self.history.setdefault(name, [])
            told = {key: value for key, value in variables.items() if value is not None}
            self.variables.setdefault(name, {}).update(told)
            run = {"id": "1", "name": name, "displayName": name, "project": PROJECT}
            return {"upsertBucket": {"bucket": run, "inserted": True}}
        if "RunResumeStatus" in query:
            return {"model": {**PROJECT, "bucket": self._bucket(name)}}
        if "Artifact" in query or "createArtifactFiles" in query:
            return self._artifacts(query, variables)
        if "ScriptableRunAlert" in query:
            self.alerts.append((variables["runName"], variables["title"]))
        if "createRunFiles" in query:
            files = [{"name": n, "uploadUrl": f"{self.url}/up/{n}"} for n in variables["files"]]
            return {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": files}}
        if "viewer" in query:
            who = {"id": "v", "entity": "lab", "username": "lab", "flags": "{}"}
            return {"viewer": {**who, "teams": {"edges": []}}, "serverInfo": None}
        return {}

    def _artifacts(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """One version of an artifact for each name and digest, as W&B's own server."""
        if self.garbage and "createArtifact(" in query:
            return {}
        if "query ArtifactType" in query:
            return {"project": {"artifact": None}}
        if "createArtifactFiles" in query:
            asked = variables["input"]["artifactFiles"]
            self.files += [each["name"] for each in asked]
            nodes = [
                {"node": {**_file(self.url, each["name"]), "artifact": {"id": each["artifactID"]}}}
                for each in asked
            ]
            return {"createArtifactFiles": {"files": {"edges": nodes}}}
        if "createArtifactManifest" in query or "updateArtifactManifest" in query:
            (what,) = re.findall("(createArtifactManifest|updateArtifactManifest)\\(", query)
            file = _file(self.url, "wandb_manifest.json")
            return {what: {"artifactManifest": {"id": "m", "file": file}}}
        if "createArtifact(" in query:
            asked = variables["input"]
            id = f"{asked['artifactCollectionName']}:{asked['digest']}"
            state = "COMMITTED" if id in self.committed else "PENDING"
            self.of.setdefault(asked["runName"], []).append(id)
            artifact = {"id": id, "state": state, "artifactSequence": {"latestArtifact": None}}
            return {"createArtifact": {"artifact": artifact}}
        if "commitArtifact(" in query:
            self.committed.add(variables["artifactID"])
            return {"commitArtifact": {"artifact": {"id": variables["artifactID"], "digest": ""}}}
        if "useArtifact(" in query:
            asked = variables["input"]
            self.used.setdefault(asked["runName"], []).append(asked["artifactID"])
            return {"useArtifact": {"artifact": {"id": asked["artifactID"], "digest": ""}}}
        raise AssertionError(query)

    def _bucket(self, name: str) -> dict[str, Any] | None:
        if name not in self.history:
            return None
        rows = self.history[name]
        tail = json.dumps([json.dumps(row) for row in rows[-1:]])
        counts = {"historyLineCount": len(rows), "logLineCount": 0, "eventsLineCount": 0}
        texts = {"summaryMetrics": "{}", "config": "{}", "eventsTail": "[]", "historyTail": tail}
        return {"id": "1", "name": name, "tags": [], "wandbConfig": '{"t": 1}', **counts, **texts}

    def stream(self, name: str, body: dict[str, Any]) -> None:
        files = body.get("files") or {}
        if told := files.get("wandb-history.jsonl"):
            rows = self.history.setdefault(name, [])
            rows[told["offset"] :] = [json.loads(line) for line in told["content"]]
        if body.get("complete"):
            self.exits.setdefault(name, []).append(body["exitcode"])


@contextmanager
def serve() -> Iterator[Server]:
    """A server that lives as long as the context."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None: ...

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer: dict[str, Any] = {}
            if server.refuse:
                return self._answer(server.refuse, {"errors": [{"message": "refused"}]})
            if server.refuse_runs and b"Viewer" not in data:
                return self._answer(server.refuse_runs, {"errors": [{"message": "refused"}]})
            if self.headers.get("Content-Encoding") == "gzip":
                data = gzip.decompress(data)
            if self.path.endswith("graphql"):
                asked = json.loads(data)
                answer = {"data": server.graphql(asked["query"], asked.get("variables") or {})}
            elif self.path.endswith("file_stream"):
                server.stream(self.path.split("/")[-2], json.loads(data))
            return self._answer(200, answer)

        do_PUT = do_GET = do_POST

        def _answer(self, status: int, value: dict[str, Any]) -> None:
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hangs up is no news."""

    with Quiet(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
