# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests per second, memory and start of Galaxy behind uWSGI and behind gunicorn. See benchmarks/serve."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import secrets
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from stand import LAUNCHER, ROOT, USER, Server, ask, nginx, processes, register, workplace

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
KINDS = ("uwsgi", "gunicorn")
CONCURRENCY = (1, 8, 64)
# The servers' number, and so their ports: beside those that are held by stand.py.
FIRST = 10


# --- What is asked ---------------------------------------------------------------------------------


class Data:
    """Someone with a history: 20 small datasets and one of 10 MB."""

    def __init__(self, url: str) -> None:
        self.headers = {"x-api-key": register(url, f"benchmark-{secrets.token_hex(4)}")}
        self.history = ask(f"{url}/api/histories", {"name": "benchmark"}, self.headers)["id"]
        texts = {f"{number}.txt": f"line {number}\n" for number in range(20)}
        self.dataset = self._upload(url, {**texts, "big.txt": "0123456789abcde\n" * 655_360})
        end = time.monotonic() + 600
        while ask(f"{url}/api/datasets/{self.dataset}", headers=self.headers)["state"] != "ok":
            if time.monotonic() > end:
                sys.exit("The dataset to download was not made in 600 s")
            time.sleep(2)

    def _upload(self, url: str, texts: dict[str, str]) -> str:
        """Upload texts by name, in one job; return the last one's dataset."""
        elements = [
            {"src": "pasted", "paste_content": text, "name": name, "ext": "txt"} for name, text in texts.items()
        ]
        targets = [{"destination": {"type": "hdas"}, "elements": elements}]
        answer = ask(f"{url}/api/tools/fetch", {"history_id": self.history, "targets": targets}, self.headers)
        return str(answer["outputs"][-1]["id"])

    def paths(self) -> dict[str, list[str]]:
        """Return what is measured: a name, and the paths that are asked in turn."""
        contents = f"/api/histories/{self.history}/contents?v=dev&limit=100"
        single = {
            "version": ["/api/version"],
            "configuration": ["/api/configuration"],
            "/": ["/"],
            "tool panel": ["/api/tool_panels/default"],
            "histories": ["/api/histories"],
            "contents": [contents],
            "tool form": [f"/api/tools/Cut1/build?history_id={self.history}"],
            "download 10 MB": [f"/api/datasets/{self.dataset}/display?to_ext=txt"],
            "static": ["/static/dist/base.css"],
        }
        # What a browser asks when someone opens Galaxy and looks at their history.
        mix = [
            *("/", "/static/dist/base.css", "/api/configuration", "/api/version", "/api/users/current"),
            *("/api/tool_panels/default", "/api/datatypes/types_and_mapping", "/api/histories?view=summary"),
            *(f"/api/histories/{self.history}", contents, contents, contents, "/api/genomes"),
        ]
        return {**single, "mix": mix}


# --- Measuring -------------------------------------------------------------------------------------

SCRIPT = """
local paths = {%s}
local number = 0
request = function()
    number = number + 1
    return wrk.format("GET", paths[(number - 1) %% #paths + 1])
end
done = function(summary, latency)
    io.write(string.format('RESULT {"requests": %%d, "microseconds": %%d, "errors": %%d, "p50": %%d, "p99": %%d}\\n',
        summary.requests, summary.duration,
        summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
"""


class Stand:
    """Both servers, running, and someone's data."""

    def __init__(self, stack: ExitStack, workers: int, threads: int) -> None:
        self.directory = stack.enter_context(workplace())
        servers = [Server(kind, FIRST + number, workers, threads) for number, kind in enumerate(KINDS)]
        stack.enter_context(nginx(servers, self.directory))
        self.urls = {server.kind: server.url for server in servers}
        self.starts, self.processes = {}, {}
        for server in servers:
            # What the first one reads from the disk, the second finds in memory.
            subprocess.run(
                ["find", "-L", f"{ROOT}/venv/lib", "-type", "f", "-exec", "cat", "{}", "+"],
                stdout=subprocess.DEVNULL,
                check=True,
            )
            process = self.processes[server.kind] = stack.enter_context(server.running(self.directory))
            self.starts[server.kind] = server.wait(process)
            print(f"{server.kind}: first answer after {self.starts[server.kind]:.1f} s", flush=True)
        # Each has done the same when its memory is looked at.
        self.data = {kind: Data(url) for kind, url in self.urls.items()}

    def measure(self, kind: str, path: str, concurrency: int, seconds: int) -> dict[str, Any]:
        """Return requests a second, and the median and 99th percentile of their times in milliseconds."""
        script = self.directory / "wrk.lua"
        script.write_text(SCRIPT % ", ".join(map(json.dumps, self.data[kind].paths()[path])))
        command = ["wrk", "-t", "1", "-c", str(concurrency), "-d", f"{seconds}s", "--timeout", "60s", "-s", str(script)]
        for name, value in {**self.data[kind].headers, "Accept-Encoding": "gzip"}.items():
            command += ["-H", f"{name}: {value}"]
        self.settle()
        before = self.cpu(kind)
        output = subprocess.run([*command, self.urls[kind]], capture_output=True, text=True, check=True).stdout
        line = next(line for line in output.splitlines() if line.startswith("RESULT "))
        result = json.loads(line.removeprefix("RESULT "))
        return {
            "rate": result["requests"] / result["microseconds"] * 1e6,
            "p50": result["p50"] / 1000,
            "p99": result["p99"] / 1000,
            "errors": result["errors"],
            "cpu": (self.cpu(kind) - before) * 1000 / max(result["requests"], 1),
        }

    def settle(self) -> None:
        """Wait until both servers have done what was asked before: wrk leaves before its last requests are answered."""
        idle = False
        while not idle:
            before = sum(map(self.cpu, KINDS))
            time.sleep(0.3)
            idle = sum(map(self.cpu, KINDS)) - before < 0.03

    def cpu(self, kind: str) -> float:
        """Return the seconds of processor time that a server's processes have taken."""
        stats = [Path(f"/proc/{pid}/stat").read_text() for pid in processes(self.processes[kind].pid)]
        # User and system time: fields 14 and 15 of proc(5), of which the second, a name, ends with a parenthesis.
        ticks = [sum(map(int, stat.rpartition(")")[2].split()[11:13])) for stat in stats]
        return sum(ticks) / os.sysconf("SC_CLK_TCK")

    def memory(self, kind: str) -> list[int]:
        """Return the proportional memory of each of a server's processes, in MB."""
        rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in processes(self.processes[kind].pid)]
        return [int(re.findall(r"^Pss:\s+(\d+)", rollup, re.M)[0]) // 1024 for rollup in rollups]


def ceiling(
    paths: dict[str, list[str]], headers: dict[str, str], workers: int, seconds: float
) -> dict[str, dict[str, float]]:
    """Return what as many processes do in which no server is, which nobody can be faster than.

    Requests a second, and milliseconds of processor time for each.
    """
    found = {}
    with ExitStack() as stack:
        directory = stack.enter_context(workplace())
        config = Server("uwsgi", 0).configuration(directory)
        log = stack.enter_context((directory / "ceiling.log").open("wb"))
        shutil.copy(HERE / "ceiling.py", directory)
        callers = [
            stack.enter_context(
                subprocess.Popen(
                    ["runuser", "-u", USER, "--", LAUNCHER, "python", directory / "ceiling.py", config],
                    env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": f"{ROOT}/server/lib"},
                    cwd=ROOT / "server",
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
            )
            for number in range(workers)
        ]

        def together(line: str = "") -> list[str]:
            for caller in callers:
                if caller.stdin and line:
                    print(line, file=caller.stdin, flush=True)
            return [caller.stdout.readline() for caller in callers if caller.stdout]

        if together() != ["ready\n"] * workers:
            sys.exit((directory / "ceiling.log").read_text()[-2000:])
        for name, asked in paths.items():
            for length in (1, seconds):  # The first time is the warm-up.
                answers = together(json.dumps({"paths": asked, "headers": headers, "seconds": length}))
            results = [json.loads(answer) for answer in answers]
            found[name] = {
                "rate": sum(result["rate"] for result in results),
                "cpu": statistics.mean(result["cpu"] for result in results),
            }
    return found


def combine(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one result of several rounds: the median of each figure, and all errors."""
    combined = {name: statistics.median(result[name] for result in results) for name in ("rate", "p50", "p99", "cpu")}
    return {**combined, "errors": sum(result["errors"] for result in results)}


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(math.log(value) for value in values) / len(values))


# --- Reporting -------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.+)", info)
    packages = "; ".join(
        f"print('{name}', version('{name}'))" for name in ("galaxy-app", "gunicorn", "uvicorn", "uvloop")
    )
    return {
        "cpu": f"{os.cpu_count()} x {model[1] if model else platform.machine()}",
        "kernel": platform.release(),
        "python": printed(f"{ROOT}/venv/bin/python", "--version"),
        "versions": printed(f"{ROOT}/venv/bin/python", "-c", f"from importlib.metadata import version; {packages}"),
        "uwsgi": printed(f"{ROOT}/venv/bin/uwsgi", "--version"),
        "nginx": printed("nginx", "-v"),
        "postgresql": printed("psql", "--version"),
    }


def printed(*command: str) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return ", ".join((answer.stdout + answer.stderr).split("\n")).strip(", ")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 2 s each")
    parser.add_argument("--seconds", type=int, default=3, help="length of each measurement (3)")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is repeated, servers in turn (2)")
    parser.add_argument("--workers", type=int, default=2, help="processes of each server (2)")
    parser.add_argument("--threads", type=int, default=4, help="threads of each of uWSGI's workers (4)")
    parser.add_argument("--only", nargs="*", help="names of the paths to measure (all)")
    parser.add_argument("--concurrency", type=int, nargs="*", default=CONCURRENCY, help="open connections (1 8 64)")
    parser.add_argument("--no-ceiling", action="store_true", help="leave out Galaxy without a server")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seconds, arguments.rounds = 2, 1
    RESULTS.mkdir(exist_ok=True)
    start = time.monotonic()

    with ExitStack() as stack:
        stand = Stand(stack, arguments.workers, arguments.threads)
        data = stand.data["uwsgi"]
        paths = {name: asked for name, asked in data.paths().items() if name in (arguments.only or data.paths())}
        for name in paths:
            for kind in KINDS:
                stand.measure(kind, name, 8, 2)
        rows = list(measurements(stand, list(paths), arguments))
        memory = {kind: stand.memory(kind) for kind in KINDS}
        starts = stand.starts

    result: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "arguments": vars(arguments),
        "rows": rows,
        "geometric_mean": geometric_mean([row["ratio"] for row in rows]),
        "lowest": min(row["ratio"] for row in rows),
        "memory_mb": memory,
        "memory_ratio": sum(memory["uwsgi"]) / sum(memory["gunicorn"]),
        "start_seconds": starts,
    }
    print(f"\ngeometric mean of the ratios: {result['geometric_mean']:.2f}; lowest {result['lowest']:.2f}")
    for kind in KINDS:
        sizes = " + ".join(map(str, memory[kind]))
        print(f"{kind}: PSS {sizes} = {sum(memory[kind])} MB; first answer after {starts[kind]:.1f} s")
    print(f"PSS, uWSGI to gunicorn: {result['memory_ratio']:.2f}", flush=True)

    result["machine"] = machine()
    keep(result)
    if not arguments.no_ceiling:
        # nginx alone answers some.
        galaxys = {name: asked for name, asked in paths.items() if name not in ("static", "mix")}
        result["ceiling"] = ceiling(galaxys, data.headers, arguments.workers, arguments.seconds)
        print("\nWithout any server, as many processes; and how much of that is reached behind one:")
        print(f"{'path':16}{'req/s':>10}{'uWSGI':>10}{'gunicorn':>10}{'cpu ms':>10}{'uWSGI':>10}{'gunicorn':>10}")
        for name, alone in result["ceiling"].items():
            cells = shares(alone, [row for row in rows if row["path"] == name])
            print(f"{name:16}{''.join(f'{cell:>10}' for cell in cells)}", flush=True)
        keep(result)
    print(f"\n{json.dumps(result['machine'], indent=2)}\nall in {time.monotonic() - start:.0f} s")
    return 0


def shares(alone: dict[str, float], rows: list[dict[str, Any]]) -> list[str]:
    """Return the cells of what Galaxy does without a server, and of how much of it each server reaches."""
    rates = [max(row[kind]["rate"] for row in rows) / alone["rate"] for kind in KINDS]
    times = [alone["cpu"] / min(row[kind]["cpu"] for row in rows) for kind in KINDS]
    return [
        *(f"{alone['rate']:.1f}", *(f"{share:.0%}" for share in rates)),
        *(f"{alone['cpu']:.2f}", *(f"{share:.0%}" for share in times)),
    ]


def keep(result: dict[str, Any]) -> None:
    """Write what was found, for programs and for people."""
    (RESULTS / "serve.json").write_text(json.dumps(result, indent=2) + "\n")
    (RESULTS / "serve.md").write_text(as_page(result))


def as_page(result: dict[str, Any]) -> str:
    """Return a page of Markdown."""
    of, arguments = result["machine"], result["arguments"]
    lines = [
        "# What `benchmarks/serve` has measured",
        "",
        f"{result['date']}; {of['cpu']}, Linux {of['kernel']}; {of['python']}, {of['versions']},",
        f"uWSGI {of['uwsgi']}; {of['nginx']}; {of['postgresql']}. {arguments['workers']} processes each, uWSGI's",
        f"with {arguments['threads']} threads. The median of {arguments['rounds']} rounds of {arguments['seconds']} s;",
        "times in milliseconds.",
        "",
        "| path | connections | uWSGI req/s | p50 | p99 | gunicorn req/s | p50 | p99 | ratio |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in result["rows"]:
        figures = [f"{row[kind][name]:.1f}" for kind in KINDS for name in ("rate", "p50", "p99")]
        lines.append(f"| {row['path']} | {row['concurrency']} | {' | '.join(figures)} | {row['ratio']:.2f} |")
    lines += [
        "",
        f"Geometric mean of the ratios: **{result['geometric_mean']:.2f}**; lowest {result['lowest']:.2f}.",
        "",
    ]
    lines += ["| | first answer after | PSS of the processes, after all that |", "|---|--:|--:|"]
    for kind in KINDS:
        sizes = result["memory_mb"][kind]
        total = f"{' + '.join(map(str, sizes))} = {sum(sizes)} MB"
        lines.append(f"| {kind} | {result['start_seconds'][kind]:.1f} s | {total} |")
    lines += ["", f"PSS, uWSGI to gunicorn: **{result['memory_ratio']:.2f}**."]
    if "ceiling" in result:
        lines += [
            "",
            "Galaxy's application alone, called in a loop by as many processes, and how much of that is reached behind",
            "a server: of its requests a second, with nginx and wrk on the same processors; and of its processor time",
            "for a request, in which there is only Galaxy and the server.",
            "",
            "| path | req/s alone | uWSGI | gunicorn | cpu ms alone | uWSGI | gunicorn |",
            "|---|--:|--:|--:|--:|--:|--:|",
        ]
        for name, alone in result["ceiling"].items():
            cells = shares(alone, [row for row in result["rows"] if row["path"] == name])
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def measurements(stand: Stand, paths: list[str], arguments: argparse.Namespace) -> Any:
    """Yield the rows of the table, and print them."""
    print(f"\n{'':16}{'':>4}  {'uWSGI':>28}  {'gunicorn':>28}")
    figures = f"  {'req/s':>9}{'p50 ms':>9}{'p99 ms':>10}"
    print(f"{'path':16}{'c':>4}{figures}{figures}  ratio", flush=True)
    for path in paths:
        for concurrency in arguments.concurrency:
            found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
            for number in range(arguments.rounds):
                for kind in KINDS if number % 2 == 0 else reversed(KINDS):
                    found[kind].append(stand.measure(kind, path, concurrency, arguments.seconds))
            row: dict[str, Any] = {
                "path": path,
                "concurrency": concurrency,
                **{kind: combine(found[kind]) for kind in KINDS},
            }
            row["ratio"] = row["uwsgi"]["rate"] / row["gunicorn"]["rate"]
            columns = "".join(
                f"  {row[kind]['rate']:9.1f}{row[kind]['p50']:9.1f}{row[kind]['p99']:10.1f}" for kind in KINDS
            )
            errors = {kind: row[kind]["errors"] for kind in KINDS if row[kind]["errors"]}
            print(
                f"{path:16}{concurrency:4}{columns}  {row['ratio']:5.2f}{f'  errors: {errors}' if errors else ''}",
                flush=True,
            )
            yield row


if __name__ == "__main__":
    sys.exit(main())
