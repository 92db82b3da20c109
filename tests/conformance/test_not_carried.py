# SPDX-License-Identifier: GPL-3.0-or-later
"""What WSGI cannot carry: it is refused at once, as docs/conformance.md says, and keeps no thread."""

from __future__ import annotations

from compared import Alike, Server

HANDSHAKE = """\
connection: Upgrade
upgrade: websocket
sec-websocket-version: 13
sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="""


def test_server_sent_events(alike: Alike) -> None:
    def ask(server: Server) -> tuple[int, bytes]:
        with server.get("/probe/events", stream=True) as response:
            return response.status_code, next(response.iter_lines())

    answers = alike.differs(ask, "they have no end")
    assert answers["gunicorn"] == (200, b"data: tick")
    assert answers["uwsgi"] == (501, b"Server-sent events are not supported here.")


def test_server_sent_events_keep_no_thread(alike: Alike) -> None:
    def ask(server: Server) -> list[int]:
        subscribers = [server.get("/probe/events", stream=True) for _turn in range(12)]
        answers = [server.get("/api/version", timeout=5).status_code for _turn in range(4)]
        for subscriber in subscribers:
            subscriber.close()
        return answers

    assert alike(ask) == [200] * 4


def test_events_that_are_an_answer(alike: Alike) -> None:
    answer = alike(lambda server: server.post("/probe/events"))
    assert (answer["status"], answer["body"]) == (200, "data: 0\n\ndata: 1\n\ndata: 2\n\n")


def test_galaxys_events_are_off(alike: Alike, key: dict[str, str]) -> None:
    def ask(server: Server) -> object:
        return server.get("/api/configuration", headers=key).json()["enable_sse_updates"]

    assert alike(ask) is False


def test_websocket(alike: Alike) -> None:
    def ask(server: Server) -> int:
        answer = server.raw("GET /probe/socket HTTP/1.1", headers=HANDSHAKE.replace("Upgrade", "close", 1))
        return int(answer.split()[1])

    answers = alike.differs(ask, "nginx makes an ordinary request of it for gunicorn")
    assert answers == {"gunicorn": 404, "uwsgi": 501}
