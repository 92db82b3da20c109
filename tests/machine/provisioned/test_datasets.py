# SPDX-License-Identifier: GPL-3.0-or-later
"""Data on its way in, through a job, and out again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from requests_toolbelt import MultipartEncoder
from support import KEPT_TEXT, ROOT, Dataset, Galaxy, Machine, Student

GIGABYTE = 1 << 30
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def file(machine: Machine, kept: Dataset) -> str:
    """Where the dataset lies."""
    digest = hashlib.sha256(KEPT_TEXT.encode()).hexdigest()
    found = machine.run(f"find {ROOT}/data/objects -name '*.dat' -size {len(KEPT_TEXT)}c -exec sha256sum {{}} +")
    paths = [line.split()[1] for line in found.splitlines() if line.startswith(digest)]
    assert len(paths) == 1
    return paths[0]


class TestJob:
    def test_it_ends_well(self, kept: Dataset) -> None:
        assert kept.state == "ok"
        assert kept.size == len(KEPT_TEXT)

    def test_it_ran_in_a_handler(self, machine: Machine, kept: Dataset, student: Student) -> None:
        jobs = machine.sql(
            "select j.id, j.handler from job j join galaxy_user u on u.id = j.user_id "
            f"where u.email = '{student.email}' order by j.id"
        )
        job, handler = jobs[-1].split("|")
        handlers = sorted(set(machine.programs()) - {"galaxy"})
        assert handlers == ["handler0", "handler1"]
        assert handler in handlers
        # And it is that process which did the work, not only its name.
        assert f"({job}) Job dispatched" in machine.run(f"cat {ROOT}/log/{handler}.log")
        assert "Job dispatched" not in machine.run(f"cat {ROOT}/log/uwsgi.log")

    def test_no_web_process_has_a_job_queue(self, machine: Machine) -> None:
        """A handler says at its start that it takes jobs; a web process must never have said so."""
        assert "job handler queue started" in machine.run(f"cat {ROOT}/log/handler0.log")
        assert "job handler queue started" not in machine.run(f"cat {ROOT}/log/uwsgi.log")


class TestDownload:
    def test_whole(self, student: Student, kept: Dataset) -> None:
        answer = student.download(kept)
        assert answer.status_code == 200
        assert answer.text == KEPT_TEXT

    def test_a_range(self, student: Student, kept: Dataset) -> None:
        answer = student.download(kept, headers={"Range": "bytes=100-299"})
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes 100-299/{len(KEPT_TEXT)}"
        assert answer.text == KEPT_TEXT[100:300]

    def test_the_end(self, student: Student, kept: Dataset) -> None:
        answer = student.download(kept, headers={"Range": "bytes=-50"})
        assert answer.status_code == 206
        assert answer.text == KEPT_TEXT[-50:]

    def test_a_range_beyond_the_end(self, student: Student, kept: Dataset) -> None:
        assert student.download(kept, headers={"Range": "bytes=999999999-"}).status_code == 416

    def test_nginx_sent_it_from_disk(self, machine: Machine, student: Student, kept: Dataset, file: str) -> None:
        """Nginx makes an entity tag of the time and the size of the file that it sends; nobody else does."""
        answer = student.download(kept, headers={"Accept-Encoding": "identity"})
        changed, size = machine.run("stat --format '%%Y %%s' %s", file).split()
        assert answer.headers["etag"] == f'"{int(changed):x}-{int(size):x}"'
        assert "x-accel-redirect" not in answer.headers

    def test_it_is_not_anyones(self, galaxy: Galaxy, machine: Machine, file: str) -> None:
        """The internal address of a file gives nothing to someone who asks for it."""
        for path in (file, f"{ROOT}/config/galaxy.ini", "/etc/passwd"):
            answer = galaxy.get(f"/_x_accel_redirect{path}")
            assert answer.status_code == 404
            assert "line 1" not in answer.text
            assert "id_secret" not in answer.text
            assert "root:" not in answer.text


# Prints, five times a second, the memory in bytes that cannot be given back: that of uWSGI's processes, that of all
# processes, and what lies in file systems that are memory.
WATCH = r"""
import json, os, re, select, sys
def number(text, key):
    found = re.search(key + r":\s+(\d+) kB", text)
    return int(found[1]) * 1024 if found else 0
def memory():
    uwsgi = everything = 0
    largest = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            status = open(f"/proc/{pid}/status").read()
            command = open(f"/proc/{pid}/cmdline").read()
        except OSError:
            continue
        size = number(status, "RssAnon") + number(status, "RssShmem")
        everything += size
        if "/uwsgi\0" in command:
            uwsgi += size
            largest = max(largest, size)
    in_files = 0
    for line in open("/proc/mounts"):
        if line.split()[2] == "tmpfs" and line.split()[1] in ("/tmp", "/run", "/dev/shm"):
            about = os.statvfs(line.split()[1])
            in_files += (about.f_blocks - about.f_bfree) * about.f_frsize
    return {"worker": largest, "uwsgi": uwsgi, "all": everything, "files": in_files}
while not select.select([sys.stdin], [], [], 0.2)[0]:
    print(json.dumps(memory()))
"""


@dataclass
class Watch:
    """The memory of the machine over a time."""

    samples: list[dict[str, int]] = field(default_factory=list)

    def growth(self, of: str) -> int:
        return max(sample[of] for sample in self.samples) - self.samples[0][of]


class Block:
    """A large body that is made while it is sent."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.sent = 0
        self.digest = hashlib.sha256()
        self.pattern = hashlib.shake_256(b"galaxy").digest(MEGABYTE)

    @property
    def len(self) -> int:
        """What is left, which is what the encoder asks for."""
        return self.size - self.sent

    def read(self, size: int = -1) -> bytes:
        offset = self.sent % MEGABYTE
        end = MEGABYTE if size < 0 else offset + size
        data = self.pattern[offset : min(end, offset + self.size - self.sent)]
        self.sent += len(data)
        self.digest.update(data)
        return data


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


@pytest.fixture(scope="module")
def body() -> Block:
    return Block(GIGABYTE)


@pytest.fixture(scope="module")
def large(machine: Machine, student: Student, watch: Watch, body: Block) -> Iterator[Dataset]:
    target = {"destination": {"type": "hdas"}, "elements": [{"src": "files", "ext": "data"}]}
    form = MultipartEncoder(
        {
            "history_id": student.history("Large"),
            "targets": json.dumps([target]),
            "auto_decompress": "false",
            "files_0|file_data": ("large.bin", body, "application/octet-stream"),
        }
    )
    with machine.background(WATCH) as printed:
        answer = student.api("POST", "tools/fetch", data=form, headers={"Content-Type": form.content_type})
        dataset = student.finished(answer["outputs"][0]["id"])
    watch.samples.extend(map(json.loads, printed))
    yield dataset
    student.session.delete(f"{student.galaxy.url}/api/datasets/{dataset.id}?purge=true", timeout=60)


class TestGigabyte:
    """One request with a body of one gigabyte, as a script sends it."""

    def test_it_arrives(self, large: Dataset, body: Block) -> None:
        assert body.sent == GIGABYTE
        assert large.state == "ok"
        assert large.size == GIGABYTE

    def test_no_worker_held_it_in_memory(self, large: Dataset, watch: Watch) -> None:
        assert len(watch.samples) > 10
        assert watch.growth("worker") < 64 * MEGABYTE
        assert watch.growth("uwsgi") < 96 * MEGABYTE

    def test_nothing_else_did_either(self, large: Dataset, watch: Watch) -> None:
        """The job is a process or two of its own, which import a part of Galaxy."""
        assert watch.growth("all") < 512 * MEGABYTE
        assert watch.growth("files") < 16 * MEGABYTE

    def test_it_comes_back_the_same(self, student: Student, large: Dataset, body: Block) -> None:
        digest = hashlib.sha256()
        with student.download(large, stream=True) as answer:
            assert answer.status_code == 200
            for chunk in answer.iter_content(MEGABYTE):
                digest.update(chunk)
        assert digest.hexdigest() == body.digest.hexdigest()
