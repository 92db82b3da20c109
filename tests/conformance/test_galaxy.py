# SPDX-License-Identifier: GPL-3.0-or-later
"""Galaxy's own pages and interfaces."""

from __future__ import annotations

import re
import secrets
from typing import Any

import pytest
import requests
from compared import HOST, ORIGIN, PREFIX, Alike, Server, seen
from support import Student

TEXT = "".join(f"line {number}\n" for number in range(100_000))

# Read by everyone, and the same each time.
PATHS = [
    "/api/version",
    "/api/configuration",
    "/api/tool_panels/default",
    "/api/tools/Cut1",
    "/api/tools/upload1/build",
    "/api/datatypes",
    "/api/genomes",
    "/api/histories",
    "/api/histories?offset=x",
    "/api/histories/no-such-id",
    "/api/no/such/path",
    "/api",
    "/openapi.json",
    "/api/docs",
    "/no/such/page",
    "/tool_runner?tool_id=Cut1",
    "/root/welcome",
    "/datasets/list",
    "/static/welcome.html",
    "/favicon.ico",
    "/robots.txt",
]


@pytest.fixture(scope="module")
def history(student: Student) -> str:
    return student.history("conformance")


@pytest.fixture(scope="module")
def dataset(student: Student, history: str) -> str:
    made = student.upload(TEXT, history, "lines.txt")
    assert made.state == "ok"
    return made.id


def lasting(answer: requests.Response) -> Any:
    """Return an answer without what is made for each visit, or by each process."""
    found = seen(answer)
    body = found["body"]
    if isinstance(body, str):
        found["body"] = re.sub(r'session_csrf_token = "[^"]*"|[0-9a-f-]{32,}|\b\d{10}\b', "...", body)
    elif isinstance(body, dict):
        body.pop("server_starttime", None)
        # From a set.
        body.get("builtin_converters", {}).get("tools", []).sort()
    elif "create_time" in str(body):
        # A history that someone gets who has none.
        found["body"] = sorted(body[0])
    return found


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", PATHS)
def test_page(alike: Alike, path: str, method: str) -> None:
    assert alike(lambda server: lasting(server.ask(method, path)))["status"] < 500


def test_first_page(alike: Alike) -> None:
    def ask(server: Server) -> Any:
        answer = lasting(server.get("/"))
        return answer["status"], answer["headers"], len(answer["body"]) > 1000

    status, headers, whole = alike(ask)
    assert (status, whole) == (200, True)
    cookies = [value for name, value in headers if name == "set-cookie"]
    assert [cookie.partition("=")[0] for cookie in cookies] == ["galaxysession", "galaxytoolrunnersession"]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": ORIGIN},
        {"origin": "https://stranger.example.org"},
        {"origin": ORIGIN, "access-control-request-method": "POST", "access-control-request-headers": "x-api-key"},
        {"origin": "https://stranger.example.org", "access-control-request-method": "POST"},
    ],
    ids=["friend", "stranger", "preflight", "stranger's preflight"],
)
@pytest.mark.parametrize("path", ["/api/version", "/api/tools", "/root/welcome"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_cors(alike: Alike, path: str, method: str, headers: dict[str, str]) -> None:
    def ask(server: Server) -> Any:
        answer = lasting(server.ask(method, path, headers=headers))
        return answer["status"], [each for each in answer["headers"] if each[0].startswith(("access", "vary", "allow"))]

    alike(ask)


# --- Sessions --------------------------------------------------------------------------------------


def test_session(alike: Alike) -> None:
    """Register, log out, log in, and be who one is, with a cookie."""

    def ask(server: Server) -> list[Any]:
        name = secrets.token_hex(4)
        password = {"password": "a-Password-0f-the-tests"}
        session = server.new_session()
        found: list[Any] = []

        def token() -> dict[str, str]:
            page = server.get("/", session=session)
            return {"session_csrf_token": re.findall(r'session_csrf_token = "([^"]+)"', page.text)[0]}

        def whoami() -> None:
            answer = server.get("/api/users/current", session=session)
            found.append((answer.status_code, str(answer.json().get("email")).replace(name, "NAME")))

        def post(path: str, form: dict[str, str]) -> None:
            answer = server.post(path, json=form, session=session)
            cookies = [value for key, value in seen(answer)["headers"] if key == "set-cookie"]
            found.append((path, answer.status_code, cookies))

        whoami()
        account = {"email": f"{name}@example.org", "username": name, "confirm": password["password"], **password}
        post("/user/create", {**account, **token()})
        whoami()
        post("/user/logout", token())
        session.cookies.clear()
        whoami()
        post("/user/login", {"login": name, **password, **token()})
        whoami()
        post("/user/login", {"login": name, "password": "wrong", **token()})
        return found

    found = alike(ask)
    assert [each[1] for each in found if each[0] == 200] == ["None", "NAME@example.org", "None", "NAME@example.org"]


def test_api_key_of_nobody(alike: Alike) -> None:
    answer = alike(lambda server: server.get("/api/histories", headers={"x-api-key": "0" * 32}))
    assert answer["status"] == 401


@pytest.mark.parametrize("authorization", ["Basic bm9ib2R5OnB3", "Basic %", "Bearer x"])
def test_authorization(alike: Alike, authorization: str) -> None:
    answer = alike(lambda server: server.get("/api/authenticate/baseauth", headers={"authorization": authorization}))
    assert 400 <= answer["status"] < 500


# --- Data ------------------------------------------------------------------------------------------


def test_history_from_begin_to_end(alike: Alike, key: dict[str, str]) -> None:
    def ask(server: Server) -> list[Any]:
        made = server.post("/api/histories", json={"name": "Grüße"}, headers=key)
        path = f"/api/histories/{made.json()['id']}"
        answers = [
            made,
            server.ask("PUT", path, json={"annotation": "日本", "tags": ["a"]}, headers=key),
            server.get(path, headers=key),
            server.ask("DELETE", path, json={"purge": True}, headers=key),
            server.get(path, headers=key),
        ]
        wanted = ("name", "annotation", "tags", "deleted", "purged")
        return [(answer.status_code, [answer.json().get(each) for each in wanted]) for answer in answers]

    assert [status for status, _body in alike(ask)] == [200] * 5


@pytest.mark.parametrize(
    "range_",
    ["bytes=0-9", "bytes=10-", "bytes=-10", "bytes=0-0,5-9", "bytes=99999999-", "bytes=5-2", "lines=1-2"],
)
def test_range(alike: Alike, dataset: str, key: dict[str, str], range_: str) -> None:
    def ask(server: Server) -> Any:
        headers = {**key, "range": range_, "accept-encoding": "identity"}
        answer = seen(server.get(f"/api/datasets/{dataset}/display?to_ext=txt", headers=headers))
        # In between several ranges, nginx writes what it makes up.
        return answer if "," not in range_ else answer["status"]

    alike(ask)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "path", ["/api/datasets/{}/display?to_ext=txt", "/datasets/{}/display?to_ext=txt", "/api/datasets/{}/display"]
)
def test_download(alike: Alike, dataset: str, key: dict[str, str], path: str, method: str) -> None:
    assert alike(lambda server: server.ask(method, path.format(dataset), headers=key))["status"] == 200


def test_download_of_a_collection(alike: Alike, history: str, dataset: str, key: dict[str, str]) -> None:
    def ask(server: Server) -> Any:
        collection = {
            "history_id": history,
            "collection_type": "list",
            "name": "list",
            "element_identifiers": [{"name": "one", "src": "hda", "id": dataset}],
        }
        made = server.post("/api/dataset_collections", json=collection, headers=key).json()["id"]
        answer = server.get(f"/api/dataset_collections/{made}/download", headers=key)
        return (
            answer.status_code,
            answer.headers.get("content-type"),
            answer.content[:2],
            TEXT.encode() in answer.content,
        )

    status, _content_type, beginning, _holds_the_text = alike(ask)
    assert (status, beginning) == (200, b"PK")


def test_upload_of_a_file(alike: Alike, history: str, key: dict[str, str]) -> None:
    """As a form with a file, which one of Galaxy's older interfaces takes."""

    def ask(server: Server) -> Any:
        form = {
            "history_id": history,
            "targets": '[{"destination": {"type": "hdas"}, "elements": [{"src": "files", "name": "x", "ext": "txt"}]}]',
        }
        files = {"files_0|file_data": ("grüße.txt", TEXT.encode(), "text/plain")}
        answer = server.post("/api/tools/fetch", data=form, files=files, headers=key)
        return answer.status_code, [each["name"] for each in answer.json()["outputs"]], len(answer.json()["jobs"])

    assert alike(ask) == (200, ["x"], 1)


def test_upload_that_can_be_resumed(alike: Alike, key: dict[str, str]) -> None:
    """As Galaxy's client uploads: tus, in parts."""

    def ask(server: Server) -> list[Any]:
        begin = {"tus-resumable": "1.0.0", "upload-length": "20", "upload-metadata": "filename eA==", **key}
        made = server.post("/api/upload/resumable_upload", headers=begin)
        path = re.sub(r"^https?://[^/]+", "", made.headers["location"]).removeprefix(server.prefix)
        told: list[Any] = [made.status_code, re.sub(r"[0-9a-f]{32}", "ID", made.headers["location"])]
        for offset in (0, 10):
            part = {
                "tus-resumable": "1.0.0",
                "upload-offset": str(offset),
                "content-type": "application/offset+octet-stream",
                **key,
            }
            sent = server.ask("PATCH", path, data=b"x" * 10, headers=part)
            state = server.ask("HEAD", path, headers={"tus-resumable": "1.0.0", **key})
            told.append((sent.status_code, sent.headers.get("upload-offset"), state.headers.get("upload-offset")))
        return told

    told = alike(ask)
    assert told[0] == 201
    assert [offset for _status, offset, _again in told[2:]] == ["10", "20"]


def test_tool_form(alike: Alike, history: str, key: dict[str, str]) -> None:
    answer = alike(lambda server: server.get(f"/api/tools/Cut1/build?history_id={history}", headers=key))
    assert answer["status"] == 200


# --- Below a prefix --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/", "/api/version", "/api/histories/", "/root/welcome", "/no/such/page", "/static/favicon.ico", "/openapi.json"],
)
def test_page_below_a_prefix(alike_below_prefix: Alike, path: str) -> None:
    def ask(server: Server) -> Any:
        answer = lasting(server.get(path))
        return (answer["status"], answer["headers"]) if path == "/" else answer

    alike_below_prefix(ask)


def test_request_below_a_prefix(alike_below_prefix: Alike) -> None:
    answer = alike_below_prefix(lambda server: server.get("/probe/echo/a%2Fb?c=d"))
    assert answer["body"]["url"] == f"http://{HOST}{PREFIX}/probe/echo/a/b?c=d"


def test_cookie_below_a_prefix(alike_below_prefix: Alike) -> None:
    def ask(server: Server) -> str:
        return str(server.get("/").headers["set-cookie"])

    answer = alike_below_prefix(lambda server: re.sub(r"=[0-9a-f]+|expires=[^;]+", "", ask(server)))
    assert f"Path={PREFIX}" in answer


def test_resumable_upload_below_a_prefix(alike_below_prefix: Alike, key: dict[str, str]) -> None:
    def ask(server: Server) -> tuple[int, str]:
        begin = {"tus-resumable": "1.0.0", "upload-length": "5", **key}
        made = server.post("/api/upload/resumable_upload", headers=begin)
        return made.status_code, re.sub(r"[0-9a-f]{32}", "ID", made.headers.get("location", ""))

    assert alike_below_prefix(ask)[0] == 201


@pytest.mark.parametrize("path", ["/api/version", "/probe/echo"])
def test_outside_of_the_prefix(alike_below_prefix: Alike, path: str) -> None:
    def ask(server: Server) -> int:
        return int(server.new_session().get(f"{server.url}{path}", timeout=60).status_code)

    assert alike_below_prefix(ask) == 404
