"""A dataset of PIE-Bench++'s form, and a server that speaks as much of the Hub's language as is needed."""

import base64
import hashlib
import io
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from PIL import Image

from piebench_eval.data.download import REPO_ID
from piebench_eval.data.pie_bench_pp import CONFIGS

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".parquet", ".zip")
"""Suffixes of files that a repository keeps apart, by their SHA-256."""

TEXT_COLUMNS = (
    "id",
    "source_prompt",
    "target_prompt",
    "edit_action",
    "aspect_mapping",
    "blended_words",
    "mask",
)
SCHEMA = pa.schema(
    [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    + [(name, pa.string()) for name in TEXT_COLUMNS]
)


def picture(seed=0, kind="JPEG", side=16):
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def row(sample_id="000000000001", **changes):
    """A row as the dataset has it; its mask covers the whole picture."""
    return {
        "image": {"bytes": picture(), "path": f"{sample_id}.jpg"},
        "id": sample_id,
        "source_prompt": "a [round] cake on a table",
        "target_prompt": "a [square] cake on a table",
        "edit_action": '{"square": {"position": 1, "edit_type": 1, "action": "round"}}',
        "aspect_mapping": '{"square": []}',
        "blended_words": '["cake,cake"]',
        "mask": "0 256",
    } | changes


def write_parquet(file, rows, schema=SCHEMA):
    file.parent.mkdir(parents=True, exist_ok=True)
    pa.parquet.write_table(pa.Table.from_pylist(rows, schema=schema), file)
    return file


def write_dataset(folder):
    """The whole dataset with two rows in every part; the second part in two files."""
    for number, config in enumerate(CONFIGS):
        rows = [row(f"{number}{index:011d}") for index in range(2)]
        shards = [rows[:1], rows[1:]] if number == 1 else [rows]
        for shard, some in enumerate(shards):
            name = f"V1-{shard:05d}-of-{len(shards):05d}.parquet"
            write_parquet(folder / config / name, some)
    (folder / "README.md").write_text("a dataset")
    return folder


class FakeHub:
    """Serves a folder as one commit of the dataset, and misbehaves on request.

    Attributes:
        endpoint: its address.
        requests: method and path of every request, in order.
        ranges: the Range headers of requests for files.
        cut: paths of files whose next answer breaks off in the middle.
        broken: paths of files that are answered with an error, and its status.
        status: what questions about the dataset are answered with, if not the answer.
        lies: paths of files to send other bytes of than listed.
        created: what was asked for when a repository was created.
    """

    def __init__(self, folder: Path, endpoint: str, repo_id: str = REPO_ID):
        self.folder = folder
        self.endpoint = endpoint
        self.repo_id = repo_id
        self.created: list[dict[str, object]] = []
        self.uploads: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.ranges: list[str] = []
        self.cut: set[str] = set()
        self.broken: dict[str, int] = {}
        self.status: int | None = None
        self.lies: set[str] = set()

    def fetched(self):
        """The files whose content was asked for since the last call."""
        files = [path.rpartition(f"{COMMIT}/")[2] for method, path in self.requests if method == "GET"]
        self.requests.clear()
        return [file for file in files if file.endswith(".parquet")]

    def tree(self):
        """The listing of all files, as ``/tree/COMMIT?recursive=true`` answers it."""
        entries = []
        for sibling in self.listing()["siblings"]:
            entry = {"type": "file", "path": sibling["rfilename"], "size": sibling["size"], "oid": "0" * 40}
            if lfs := sibling.get("lfs"):
                entry["lfs"] = {"oid": lfs["sha256"], "size": lfs["size"], "pointerSize": lfs["pointerSize"]}
            entries.append(entry)
        return entries

    def listing(self):
        siblings = []
        for file in sorted(self.folder.rglob("*")):
            if file.is_file():
                content = file.read_bytes()
                entry = {"rfilename": file.relative_to(self.folder).as_posix(), "size": len(content)}
                if file.suffix in LARGE:
                    digest = hashlib.sha256(content).hexdigest()
                    entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
                siblings.append(entry)
        return {"id": self.repo_id, "sha": COMMIT, "siblings": siblings, "tags": []}


def _handler(hub_of_server):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def do_PUT(self):
            hub_of_server().uploads[self.path.rpartition("/")[2]] = self.sent()
            self.send(b"", True)

        def do_POST(self):
            """What an upload asks for: a repository, a way for each file, and in the end a commit."""
            hub, sent = hub_of_server(), self.sent()
            path = self.path.partition("?")[0]
            hub.requests.append((self.command, path))
            if hub.status:
                return self.fail(hub.status)
            api = f"/api/datasets/{hub.repo_id}"
            answers = {
                "/api/repos/create": self.create,
                "/api/validate-yaml": lambda hub, sent: {"errors": [], "warnings": []},
                f"{api}/preupload/main": self.ways,
                f"/datasets/{hub.repo_id}.git/info/lfs/objects/batch": self.places,
                f"{api}/commit/main": self.commit,
            }
            return self.send(json.dumps(answers[path](hub, sent)).encode(), True)

        def sent(self):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def create(self, hub, sent):
            hub.created.append(json.loads(sent))
            return {"url": f"{hub.endpoint}/datasets/{hub.repo_id}"}

        def ways(self, hub, sent):
            names = [file["path"] for file in json.loads(sent)["files"]]
            modes = {name: "lfs" if name.endswith(LARGE) else "regular" for name in names}
            return {"files": [{"path": n, "uploadMode": m, "shouldIgnore": False} for n, m in modes.items()]}

        def places(self, hub, sent):
            wanted = json.loads(sent)["objects"]
            to = [{"upload": {"href": f"{hub.endpoint}/lfs/{each['oid']}"}} for each in wanted]
            return {"objects": [{**each, "actions": place} for each, place in zip(wanted, to, strict=True)]}

        def commit(self, hub, sent):
            for line in map(json.loads, sent.splitlines()):
                about = line["value"]
                if line["key"] == "file":
                    (hub.folder / about["path"]).write_bytes(base64.b64decode(about["content"]))
                elif line["key"] == "lfsFile":
                    (hub.folder / about["path"]).write_bytes(hub.uploads[about["oid"]])
            page = f"{hub.endpoint}/datasets/{hub.repo_id}/commit/{COMMIT}"
            return {"success": True, "commitOid": COMMIT, "commitUrl": page}

        def answer(self, body):
            hub = hub_of_server()
            path = self.path.partition("?")[0]
            hub.requests.append((self.command, path))
            api = f"/api/datasets/{hub.repo_id}"
            if path.startswith("/api/"):
                known = path in {api, *(f"{api}/revision/{name}" for name in ("main", "v1", COMMIT))}
                kind = "RevisionNotFound" if path.startswith(f"{api}/") else "RepoNotFound"
                if hub.status:
                    return self.fail(hub.status)
                if path == f"{api}/tree/{COMMIT}":
                    return self.send(json.dumps(hub.tree()).encode(), body)
                return self.send(json.dumps(hub.listing()).encode(), body) if known else self.fail(404, kind)
            name = path.removeprefix(f"/datasets/{hub.repo_id}/resolve/{COMMIT}/")
            file = hub.folder / name
            if not file.is_file():
                return self.fail(404, "EntryNotFound")
            if body and name in hub.broken:
                return self.fail(hub.broken[name])
            return self.send_file(hub, name, file.read_bytes(), body)

        def send_file(self, hub, name, content, body):
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
            if name in hub.lies:
                content = content[:-20] + bytes(20)
            start = 0
            if asked := self.headers.get("Range"):
                hub.ranges.append(asked)
                start = int(asked.removeprefix("bytes=").partition("-")[0])
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            rest = content[start:]
            half = body and name in hub.cut
            hub.cut.discard(name) if half else None
            self.send(rest, body, 206 if asked else 200, headers, len(rest) // 2 if half else None)

        def send(self, content, body, status=200, headers=None, only=None):
            self.send_response(status)
            for name, value in {"Content-Length": len(content), **(headers or {})}.items():
                self.send_header(name, str(value))
            self.end_headers()
            if body:
                self.wfile.write(content[:only])
            self.close_connection = self.close_connection or only is not None

        def fail(self, status, kind=None):
            self.send_response(status)
            if kind:
                self.send_header("X-Error-Code", kind)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Handler


@contextmanager
def serve(folder, repo_id=REPO_ID):
    """A hub for the time of the body, with one repository."""
    hubs = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(lambda: hubs[0]))
    server.daemon_threads = True
    hubs.append(FakeHub(folder, f"http://127.0.0.1:{server.server_port}", repo_id))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hubs[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
