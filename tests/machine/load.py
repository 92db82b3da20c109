# SPDX-License-Identifier: GPL-3.0-or-later
"""What people do while a server is restarted: they read, upload and download, and notice if something is wrong."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import requests
from support import Dataset, Student

# Seconds between one request and the next of a kind. An upload is a job, of which the machine can do only so many.
PAUSE = 0.5
UPLOAD_PAUSE = 15.0
MEGABYTE = 1024 * 1024

# What each load showed, for the table at the end.
ROWS: list[str] = []


@dataclass
class Request:
    """One request: of which kind, when it was begun, how long it took, and what was wrong with it."""

    kind: str
    begun: float
    seconds: float
    fault: str


class Drip(io.BytesIO):
    """An upload that takes some seconds."""

    def read(self, size: int | None = -1) -> bytes:
        time.sleep(0.05)
        return super().read(min(size or 65536, 65536))


class Load:
    """Several kinds of requests, each one after the other, for as long as the context lasts."""

    def __init__(self, student: Student, history: str, large: Dataset) -> None:
        self.requests: list[Request] = []
        self.uploads: list[str] = []
        self._student = student
        self._history = history
        self._large = large
        self._over = threading.Event()
        reads = {
            "version": "/api/version",
            "page": "/",
            "configuration": "/api/configuration",
            "histories": "/api/histories",
            "contents": f"/api/histories/{history}/contents?v=dev&limit=20",
        }
        kinds: dict[str, Callable[[], str]] = {name: self._reader(path) for name, path in reads.items()}
        kinds.update(upload=self._upload, download=self._download)
        self._threads = [threading.Thread(target=self._run, args=item) for item in kinds.items()]

    def _get(self, path: str, **options: object) -> requests.Response:
        headers = dict(self._student.session.headers)
        return requests.get(self._student.galaxy.url + path, headers=headers, timeout=600, **options)  # type: ignore[arg-type]

    def _reader(self, path: str) -> Callable[[], str]:
        def read() -> str:
            answer = self._get(path)
            return "" if answer.status_code == 200 and answer.content else f"status {answer.status_code}"

        return read

    def _upload(self) -> str:
        """Upload a file over some seconds."""
        elements = [{"src": "files", "ext": "txt", "name": "dripped"}]
        targets = [{"destination": {"type": "hdas"}, "elements": elements}]
        answer = requests.post(
            f"{self._student.galaxy.url}/api/tools/fetch",
            data={"history_id": self._history, "targets": json.dumps(targets)},
            files={"files_0|file_data": ("dripped.txt", Drip(b"0123456789abcde\n" * 131_072))},
            headers={"x-api-key": str(self._student.session.headers["x-api-key"])},
            timeout=600,
        )
        if answer.status_code != 200:
            return f"status {answer.status_code}"
        self.uploads.append(answer.json()["outputs"][0]["id"])
        return ""

    def _download(self) -> str:
        """Download a file over some seconds."""
        answer = self._get(f"/api/datasets/{self._large.id}/display?to_ext=data", stream=True)
        size = 0
        for part in answer.iter_content(MEGABYTE):
            size += len(part)
            time.sleep(0.2)
        return "" if size == self._large.size else f"status {answer.status_code}, {size} of {self._large.size} bytes"

    def _run(self, kind: str, ask: Callable[[], str]) -> None:
        while not self._over.is_set():
            begun = time.monotonic()
            try:
                fault = ask()
            except requests.RequestException as error:
                fault = repr(error)
            self.requests.append(Request(kind, begun, time.monotonic() - begun, fault))
            self._over.wait(UPLOAD_PAUSE if kind == "upload" else PAUSE)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def faults(self) -> list[str]:
        return [f"{request.kind}: {request.fault}" for request in self.requests if request.fault]

    def longest(self) -> dict[str, float]:
        """Return the longest time of each kind. An upload and a download take as long as they are made to."""
        found: dict[str, float] = {}
        for request in self.requests:
            if request.kind not in ("upload", "download"):
                found[request.kind] = max(request.seconds, found.get(request.kind, 0.0))
        return found

    def row(self) -> Iterator[str]:
        """Yield the columns of a table's row."""
        longest = self.longest()
        yield f"{len(self.requests):8}"
        yield f"{len(self.faults):6}"
        yield f"{max(longest.values(), default=0.0):9.2f}"
        yield f"{max(longest, key=lambda kind: longest[kind], default=''):13}"
