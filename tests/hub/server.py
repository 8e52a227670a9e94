"""A Hub on 127.0.0.1: as much of its HTTP API as the real clients use, on disk, out of order on demand.

Small files and large ones (LFS) lie under their hashes, commits as JSON beside them. Every request is noted
in `requests`; `faults` says which of the coming ones go wrong, and how.
"""

import base64
import hashlib
import json
import re
import struct
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from .card_rules import errors_of

TOKENS = {"hf_writer": ("tester", ("mines",)), "hf_reader": ("reader", ())}
"""Tokens that are known: whose they are, and to which other organisations these may write."""

_LARGE = (".parquet", ".safetensors", ".png", ".arrow")
_REPOSITORY = r"([^/]+/[^/]+)"


@dataclass
class Fault:
    """Something that goes wrong.

    Attributes:
        method: The HTTP method.
        pattern: What the path matches.
        kind: "status", "drop_request" (the connection breaks before the body was read), "drop_answer" (it
            is done, but nobody hears of it), "truncate" (half the body, then silence), "lie" (half the body
            under a length that says it is all), or "wait" (until `released`).
        status: Of the answer, for "status".
        times: How often.
    """

    method: str
    pattern: str
    kind: str = "status"
    status: int = 500
    times: int = 1
    released: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)


class Hub:
    """A Hub of one's own, with the repositories in a folder.

    Args:
        root: Where it keeps everything.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.requests: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.lock = threading.RLock()
        (root / "objects").mkdir(parents=True, exist_ok=True)
        (root / "lfs").mkdir(exist_ok=True)
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    @contextmanager
    def failing(self, *faults: Fault) -> Iterator[None]:
        """Let requests fail; all of them have to have been reached in the end."""
        self.faults = list(faults)
        try:
            yield
        finally:
            left, self.faults = self.faults, []
        assert not left, f"never asked for: {left}"

    @contextmanager
    def noted(self) -> Iterator[list[tuple[str, str]]]:
        """The requests that come meanwhile."""
        start, seen = len(self.requests), []
        yield seen
        seen += self.requests[start:]

    # Repositories.

    def folder(self, repo_type: str, name: str) -> Path:
        return self.root / "repositories" / repo_type / name

    def exists(self, repo_type: str, name: str) -> bool:
        return (self.folder(repo_type, name) / "refs.json").is_file()

    def refs(self, repo_type: str, name: str) -> dict[str, str]:
        return json.loads((self.folder(repo_type, name) / "refs.json").read_text())

    def head(self, repo_type: str, name: str, branch: str = "main") -> str:
        return self.refs(repo_type, name)[branch]

    def files(self, repo_type: str, name: str, revision: str = "main") -> dict[str, dict[str, Any]]:
        """Path -> size, sha256, git (its hash there), and whether it is a large one."""
        sha = self.refs(repo_type, name).get(revision, revision)
        return json.loads((self.folder(repo_type, name) / f"{sha}.json").read_text())["files"]

    def history(self, repo_type: str, name: str) -> list[str]:
        """Titles of the commits of the main branch, the last first."""
        titles, sha = [], self.head(repo_type, name)
        while sha:
            commit = json.loads((self.folder(repo_type, name) / f"{sha}.json").read_text())
            titles.append(commit["title"])
            sha = commit["parent"]
        return titles

    def read(self, repo_type: str, name: str, path: str, revision: str = "main") -> bytes:
        return self.data(self.files(repo_type, name, revision)[path])

    def data(self, entry: Mapping[str, Any]) -> bytes:
        return (self.root / ("lfs" if entry["lfs"] else "objects") / entry["sha256"]).read_bytes()

    def create(self, repo_type: str, name: str, files: Mapping[str, bytes] | None = None) -> None:
        """Make a repository, as a person would on the site."""
        self.folder(repo_type, name).mkdir(parents=True)
        start = {".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n", **(files or {})}
        self.write(repo_type, name, start, "initial commit")

    def write(
        self, repo_type: str, name: str, files: Mapping[str, bytes], title: str, branch: str = "main"
    ) -> str:
        """Commit some files, as somebody else would."""
        known = self.files(repo_type, name, branch) if self.exists(repo_type, name) else {}
        return self.commit(
            repo_type,
            name,
            {**known, **{path: self.store(data) for path, data in files.items()}},
            title,
            branch,
        )

    def store(self, data: bytes, large: bool = False) -> dict[str, Any]:
        sha256 = hashlib.sha256(data).hexdigest()
        (self.root / ("lfs" if large else "objects") / sha256).write_bytes(data)
        return self.entry(sha256, len(data), large, hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest())

    def entry(self, sha256: str, size: int, large: bool, git: str = "") -> dict[str, Any]:
        return {
            "sha256": sha256,
            "size": size,
            "lfs": large,
            "git": git or hashlib.sha1(sha256.encode()).hexdigest(),
        }

    def commit(
        self, repo_type: str, name: str, files: dict[str, Any], title: str, branch: str = "main"
    ) -> str:
        folder = self.folder(repo_type, name)
        refs = self.refs(repo_type, name) if self.exists(repo_type, name) else {}
        parent = refs.get(branch)
        sha = hashlib.sha1(repr((parent, title, sorted(files.items()))).encode()).hexdigest()
        content = {"files": files, "title": title, "parent": parent}
        (folder / f"{sha}.json").write_text(json.dumps(content))
        (folder / "refs.json").write_text(json.dumps({**refs, branch: sha}))
        return sha


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    hub: Hub
    fault: Fault | None

    def log_message(self, *arguments: Any) -> None:
        """Nothing: `Hub.requests` has them."""

    def do_GET(self) -> None:
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        with self.hub.lock:
            self.hub.requests.append((self.command, path))
            self.fault = next(
                (
                    fault
                    for fault in self.hub.faults
                    if fault.method == self.command and re.search(fault.pattern, path)
                ),
                None,
            )
            if self.fault is not None:
                self.fault.reached.set()
                self.fault.times -= 1
                if not self.fault.times:
                    self.hub.faults.remove(self.fault)
        if self.fault is not None:
            if self.fault.kind == "drop_request":
                self.break_off()
                return
            if self.fault.kind == "wait":
                self.fault.released.wait(30)
            if self.fault.kind == "status":
                self.body()
                self.refuse(self.fault.status, "Fault", "out of order")
                return
        try:
            self.route(path)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the server's names

    def break_off(self) -> None:
        """Reset the connection, as a router does that was switched off."""
        self.connection.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER: no goodbye
        self.close_connection = True
        self.connection.close()

    def answer(
        self,
        status: int,
        body: Any = b"",
        headers: Mapping[str, str] | None = None,
        kind: str = "application/json",
    ) -> None:
        if self.fault is not None and self.fault.kind == "drop_answer":
            self.break_off()
            return
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = data
        if self.fault is not None and self.fault.kind in ("truncate", "lie"):
            sent = data[: len(data) // 2]
        length = len(sent) if self.fault is not None and self.fault.kind == "lie" else len(data)
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(length), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(sent)
            if len(sent) < length:
                self.wfile.flush()
                self.break_off()

    def refuse(self, status: int, code: str, message: str = "") -> None:
        self.answer(
            status,
            {"error": message or code},
            {"X-Error-Code": code, "X-Error-Message": message or code},
        )

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    @property
    def user(self) -> tuple[str, tuple[str, ...]] | None:
        return TOKENS.get(self.headers.get("Authorization", "").removeprefix("Bearer "))

    def may_write(self, name: str) -> bool:
        """Whether the token may write to a repository; says so if not."""
        if self.user is None:
            self.refuse(401, "Unauthorized", "Invalid username or password.")
        elif name.partition("/")[0] not in (self.user[0], *self.user[1]):
            self.refuse(403, "Forbidden", "You don't have the rights to write here.")
        else:
            return True
        return False

    def route(self, path: str) -> None:
        data = self.body() if self.command in ("POST", "PUT", "DELETE") else b""
        routes: tuple[tuple[str, Callable[..., None]], ...] = (
            (r"/api/whoami-v2", self.whoami),
            (r"/api/validate-yaml", self.validate),
            (r"/api/repos/create", self.create),
            (r"/_lfs/([0-9a-f]{64})", self.receive),
            (rf"/(?:(dataset|space)s/)?{_REPOSITORY}\.git/info/lfs/objects/batch", self.batch),
            (rf"/api/(model|dataset|space)s/{_REPOSITORY}(?:/revision/([^/]+))?", self.info),
            (rf"/api/(model|dataset|space)s/{_REPOSITORY}/preupload/([^/]+)", self.preupload),
            (rf"/api/(model|dataset|space)s/{_REPOSITORY}/commit/([^/]+)", self.commit),
            (rf"/api/(model|dataset|space)s/{_REPOSITORY}/tree/([^/]+)(?:/(.*))?", self.tree),
            (rf"/api/(model|dataset|space)s/{_REPOSITORY}/paths-info/([^/]+)", self.paths_info),
            (rf"/api/(model|dataset|space)s/{_REPOSITORY}/branch/([^/]+)", self.branch),
            (rf"/(?:(dataset|space)s/)?{_REPOSITORY}/resolve/([^/]+)/(.+)", self.resolve),
        )
        for pattern, function in routes:
            if match := re.fullmatch(pattern, path):
                function(data, *match.groups())
                return
        self.refuse(404, "RepoNotFound", f"nothing is known here of {path}")

    def whoami(self, data: bytes) -> None:
        if self.user is None:
            self.refuse(401, "Unauthorized", "Invalid user token.")
            return
        name, organisations = self.user
        self.answer(
            200,
            {
                "type": "user",
                "id": name,
                "name": name,
                "fullname": name,
                "orgs": [{"type": "org", "name": each, "roleInOrg": "admin"} for each in organisations],
                "auth": {"type": "access_token", "accessToken": {"displayName": "test", "role": "write"}},
            },
        )

    def validate(self, data: bytes) -> None:
        asked = json.loads(data)
        errors = errors_of(asked["content"], asked.get("repoType") or "model")
        self.answer(
            400 if errors else 200, {"errors": [{"message": each} for each in errors], "warnings": []}
        )

    def create(self, data: bytes) -> None:
        asked = json.loads(data)
        repo_type = asked.get("type") or "model"
        owner = asked.get("organization") or (self.user[0] if self.user else "")
        name = f"{owner}/{asked['name']}"
        if not self.may_write(name):
            return
        url = f"{self.hub.url}/{'' if repo_type == 'model' else repo_type + 's/'}{name}"
        with self.hub.lock:
            if self.hub.exists(repo_type, name):
                self.answer(409, {"error": "You already created this repo", "url": url, "name": name})
                return
            card = (
                b"---\ntitle: New\nsdk: gradio\n---\n\nCheck out the configuration reference at https://...\n"
                if repo_type == "space"
                else None
            )
            self.hub.create(repo_type, name, {} if card is None else {"README.md": card})
            settings = {
                "private": bool(asked.get("private")) or asked.get("visibility") == "private",
                "sdk": asked.get("sdk"),
            }
            (self.hub.folder(repo_type, name) / "settings.json").write_text(json.dumps(settings))
        self.answer(200, {"url": url, "name": name, "id": "0" * 24})

    def batch(self, data: bytes, repo_type: str | None, name: str) -> None:
        if not self.may_write(name):
            return
        objects = []
        for asked in json.loads(data)["objects"]:
            actions = {"upload": {"href": f"{self.hub.url}/_lfs/{asked['oid']}", "header": {}}}
            known = (self.hub.root / "lfs" / asked["oid"]).is_file()
            objects.append({**asked, **({} if known else {"actions": actions})})
        self.answer(200, {"transfer": "basic", "objects": objects})

    def receive(self, data: bytes, sha256: str) -> None:
        if hashlib.sha256(data).hexdigest() != sha256:
            self.refuse(400, "BadDigest", "the bytes do not match their hash")
            return
        self.hub.store(data, large=True)
        self.answer(200)

    def found(
        self, repo_type: str | None, name: str, revision: str | None
    ) -> tuple[str, dict[str, Any]] | None:
        """A commit and its files; says so where there is none."""
        kind = repo_type or "model"
        if not self.hub.exists(kind, name):
            # As the Hub: to strangers it does not say what exists.
            self.refuse(404 if self.user else 401, "RepoNotFound", "Repository not found")
            return None
        refs = self.hub.refs(kind, name)
        sha = refs.get(revision or "main", revision or "main")
        if not (self.hub.folder(kind, name) / f"{sha}.json").is_file():
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return sha, self.hub.files(kind, name, sha)

    def info(self, data: bytes, repo_type: str, name: str, revision: str | None) -> None:
        if (found := self.found(repo_type, name, revision)) is None:
            return
        sha, files = found
        card = {}
        if "README.md" in files:
            text = self.hub.data(files["README.md"]).decode()
            card = yaml.safe_load(text.split("---\n", 2)[1]) if text.startswith("---\n") else {}
        self.answer(
            200,
            {
                "_id": "0" * 24,
                "id": name,
                "modelId": name,
                "author": name.partition("/")[0],
                "sha": sha,
                "private": False,
                "gated": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": card.get("tags", []),
                "cardData": card,
                "lastModified": "2026-01-01T00:00:00.000Z",
                "createdAt": "2026-01-01T00:00:00.000Z",
                "siblings": [
                    {
                        "rfilename": path,
                        "size": entry["size"],
                        "blobId": entry["git"],
                        **(
                            {"lfs": {"sha256": entry["sha256"], "size": entry["size"], "pointerSize": 134}}
                            if entry["lfs"]
                            else {}
                        ),
                    }
                    for path, entry in sorted(files.items())
                ],
            },
        )

    def preupload(self, data: bytes, repo_type: str, name: str, revision: str) -> None:
        if not self.may_write(name) or (found := self.found(repo_type, name, revision)) is None:
            return
        _, files = found
        answers = []
        for asked in json.loads(data)["files"]:
            path = asked["path"]
            large = path.endswith(_LARGE) or asked["size"] > 10_000_000
            oid = files[path]["sha256" if files[path]["lfs"] else "git"] if path in files else None
            mode = "lfs" if large else "regular"
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.answer(200, {"files": answers})

    def commit(self, data: bytes, repo_type: str, name: str, revision: str) -> None:
        if not self.may_write(name):
            return
        with self.hub.lock:
            if (found := self.found(repo_type, name, revision)) is None:
                return
            sha, files = found
            title = ""
            for line in filter(None, data.splitlines()):
                operation = json.loads(line)
                kind, value = operation["key"], operation["value"]
                if kind == "header":
                    title = value["summary"]
                    if value.get("parentCommit") not in (None, sha):
                        self.refuse(412, "PreconditionFailed", "A commit has happened since.")
                        return
                elif kind == "file":
                    files[value["path"]] = self.hub.store(base64.b64decode(value["content"]))
                elif kind == "lfsFile":
                    if not (self.hub.root / "lfs" / value["oid"]).is_file():
                        self.refuse(400, "BadRequest", f"{value['path']} points to an object that never came")
                        return
                    files[value["path"]] = self.hub.entry(value["oid"], value["size"], large=True)
                elif kind == "deletedFile":
                    del files[value["path"]]
            new = self.hub.commit(repo_type, name, files, title, revision)
        url = f"{self.hub.url}/{name}/commit/{new}"
        self.answer(200, {"success": True, "commitOid": new, "commitUrl": url, "hookOutput": ""})

    def branch(self, data: bytes, repo_type: str, name: str, branch: str) -> None:
        if not self.may_write(name):
            return
        refs = self.hub.refs(repo_type, name)
        if branch in refs:
            self.refuse(409, "Conflict", "Reference already exists")
            return
        path = self.hub.folder(repo_type, name) / "refs.json"
        path.write_text(json.dumps({**refs, branch: refs["main"]}))
        self.answer(200, {})

    def listed(self, path: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        large = {"oid": entry["sha256"], "size": entry["size"], "pointerSize": 134}
        return {
            "type": "file",
            "oid": entry["git"],
            "size": entry["size"],
            "path": path,
            **({"lfs": large} if entry["lfs"] else {}),
        }

    def tree(self, data: bytes, repo_type: str, name: str, revision: str, folder: str | None) -> None:
        if (found := self.found(repo_type, name, revision)) is None:
            return
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
        prefix = f"{folder.rstrip('/')}/" if folder else ""
        entries: dict[str, dict[str, Any]] = {}
        for path, entry in sorted(found[1].items()):
            if not path.startswith(prefix):
                continue
            parts = path.removeprefix(prefix).split("/")
            for depth in range(1, len(parts) if recursive else min(2, len(parts))):
                parent = prefix + "/".join(parts[:depth])
                entries[parent] = {"type": "directory", "oid": "0" * 40, "size": 0, "path": parent}
            if recursive or len(parts) == 1:
                entries[path] = self.listed(path, entry)
        if prefix and not entries:
            self.refuse(404, "EntryNotFound", f"{folder} does not exist")
            return
        self.answer(200, list(entries.values()))

    def paths_info(self, data: bytes, repo_type: str, name: str, revision: str) -> None:
        if (found := self.found(repo_type, name, revision)) is None:
            return
        try:
            paths = json.loads(data)["paths"]
        except ValueError:
            paths = urllib.parse.parse_qs(data.decode()).get("paths", [])
        entries = []
        for path in [paths] if isinstance(paths, str) else paths:
            if path in found[1]:
                entries.append(self.listed(path, found[1][path]))
            elif any(each.startswith(f"{path.rstrip('/')}/") for each in found[1]):
                entries.append({"type": "directory", "oid": "0" * 40, "size": 0, "path": path})
        self.answer(200, entries)

    def resolve(self, data: bytes, repo_type: str | None, name: str, revision: str, path: str) -> None:
        if (found := self.found(repo_type, name, revision)) is None:
            return
        sha, files = found
        if path not in files:
            self.answer(
                404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha}
            )
            return
        entry = files[path]
        content = self.hub.data(entry)
        etag = entry["sha256"] if entry["lfs"] else entry["git"]
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        if entry["lfs"]:
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(entry["size"])}
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start = int(asked[1])
            end = min(int(asked[2] or len(content) - 1), len(content) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            self.answer(206, content[start : end + 1], headers, "application/octet-stream")
            return
        self.answer(200, content, headers, "application/octet-stream")
