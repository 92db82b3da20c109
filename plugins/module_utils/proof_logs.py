# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose the lines of log files that tell why something failed, without any secret in them."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence

MASK = "********"
WINDOW = 256 * 1024
"""How much of the end of a file is looked at, in bytes."""
TRACEBACK_LINES = 14
"""A longer traceback is shortened in its middle: its end says what went wrong."""

_SENSITIVE = r"[\w.-]*(?:password|passwd|secret|api[_-]?key|private[_-]?key|token|authorization|credential)[\w.-]*"
_MASKS = (
    # postgresql://user:password@host, amqp://..., also with an @ in the password
    (
        re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@'\"]*:)[^\s'\"]+(@(?=[^\s@]*(?:[\s'\"]|$)))", re.I),
        r"\1" + MASK + r"\2",
    ),
    # Authorization: Bearer abc, Cookie: galaxysession=abc; x=y
    (
        re.compile(
            r"(\b(?:proxy-)?authorization['\"]?\s*[:=]\s*['\"]?)(?:(?:basic|bearer|digest)\s+)?[^\s'\",;]+", re.I
        ),
        r"\1" + MASK,
    ),
    (re.compile(r"(\b(?:set-)?cookie['\"]?\s*[:=]\s*)[^\r\n]+", re.I), r"\1" + MASK),
    (re.compile(r"(\bgalaxy\w*session['\"]?\s*[:=]\s*['\"]?)[^\s'\";,&]+", re.I), r"\1" + MASK),
    # "id_secret": "abc" and password = 'abc def'
    (re.compile(r"(\b" + _SENSITIVE + r"['\"]?\s*(?:[:=]|=>)\s*)(?:'[^'\r\n]*'|\"[^\"\r\n]*\")", re.I), r"\1" + MASK),
    # password=abc, x-api-key: abc, api_key=abc&x=y
    (re.compile(r"(\b" + _SENSITIVE + r"['\"]?\s*(?:[:=]|=>)\s*)(?![\"'*])[^\s'\",;&)}\]]+", re.I), r"\1" + MASK),
    # /api/histories?key=abc
    (re.compile(r"([?&](?:key|signature|code|state|sig)=)[^\s&'\"]+", re.I), r"\1" + MASK),
)

_INTERESTING = re.compile(
    r"\b(?:ERROR|CRITICAL|FATAL|PANIC|BACKOFF)\b"  # Python, PostgreSQL, supervisor
    r"|\[(?:error|emerg|alert|crit)\]"  # nginx
    r"|\b\w+(?:Error|Exception)\b"
    r"|\b(?:[Aa]ddress already in use|[Pp]ermission denied|[Nn]o such file|[Nn]o space left|[Oo]ut of memory)"
    r"|\b(?:exited|terminated by SIG|gave up|can't find command|spawn|unable to|cannot|failed|refused|denied)\b"
    r"|no app loaded|no python application|respawn|listen queue|HARAKIRI|DAMN|segfault|[Ss]egmentation [Ff]ault"
    r"|invalid request block size|!!!"
)
# Lines with one of the words above that never explain anything.
_NOISE = re.compile(
    r"\b(?:exited: \S+ \(exit status 0; expected\)|spawned: |spawned uWSGI|Respawned uWSGI|gateway \"|errors?[=:] ?0)"
    r"|\b(?:DEBUG|INFO)\b|^[\w.]+ WARNING "
)
# What a healthy Galaxy logs at every start, and what was answered well: neither explains anything.
_HARMLESS = re.compile(
    r"[Ii]nvolucro|galaxy\.datatypes\.display_applications|galaxy\.tool_util\.deps"
    r"|Unable to read builds|Error loading Data Table URL"
    r"|=> generated \d+ bytes in \d+ msecs \(HTTP/[\d.]+ [1-4]\d\d\)"
)
_FAILED_REQUEST = re.compile(r"=> generated \d+ bytes in \d+ msecs \(HTTP/[\d.]+ 5\d\d\)")
_TRACEBACK = "Traceback (most recent call last):"
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")
_VARIABLE = re.compile(r"\d+|0x[0-9a-f]+", re.I)


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """Replace secrets in text: the given ones wherever they are, others by what stands before them."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= 4:  # a shorter one would blot out ordinary words
            text = text.replace(secret, MASK)
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    return text


_SETTING = re.compile(r"^\s*[\"']?(?P<name>[\w.-]+)[\"']?\s*[:=]\s*(?P<value>\S.*?)\s*$")
_SECRET_SETTING = re.compile(r"password|passwd|secret|api_?key|token|private_?key", re.I)
_URL_PASSWORD = re.compile(r"://[^\s/:@]*:(?P<password>\S+)@")


def secrets_of_config(text: str) -> set[str]:
    """Return the secrets in a configuration file, INI or YAML, so that they can be kept out of messages."""
    found: set[str] = set()
    for line in text.splitlines():
        if line.lstrip().startswith(("#", ";")):
            continue
        match = _SETTING.match(line)
        if not match:
            continue
        value = match.group("value").strip("'\"")
        if _SECRET_SETTING.search(match.group("name")) and not re.fullmatch(
            r"true|false|yes|no|none|\d{1,4}|/\S*", value, re.I
        ):
            found.update((value, value.replace("%%", "%")))
        password = _URL_PASSWORD.search(value)
        if password:
            found.update((password.group("password"), password.group("password").replace("%%", "%")))
    return {secret for secret in found if len(secret) >= 4}


def expand(patterns: Sequence[str]) -> list[str]:
    """Return the files that the patterns name, in the order given, each once."""
    paths: list[str] = []
    for pattern in patterns:
        for path in sorted(glob.glob(pattern)) or [pattern]:
            if path not in paths:
                paths.append(path)
    return paths


def sizes(paths: Sequence[str]) -> dict[str, int]:
    """Return where each file ends now."""
    result = {}
    for path in paths:
        try:
            result[path] = os.path.getsize(path)
        except OSError:
            result[path] = 0
    return result


def tail(path: str, start: int = 0, window: int = WINDOW) -> list[str]:
    """Return the last lines of a file, not before the offset ``start``, in at most ``window`` bytes."""
    with open(path, "rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        if start > size:  # rotated or truncated since
            start = 0
        begin = max(start, size - window)
        stream.seek(begin)
        data = stream.read(window)
    if begin > start:
        data = data.partition(b"\n")[2]
    return data.decode("utf-8", "replace").splitlines()


def blocks(lines: Sequence[str]) -> list[list[str]]:
    """Return what is interesting: tracebacks as a whole, other lines one by one."""
    result: list[list[str]] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        if _TRACEBACK in line:
            end = _end_of_traceback(lines, index)
            block = list(lines[index:end])
            # What was being done when it happened is often said in the line before ("... Failed to ...").
            before = lines[index - 1] if index else ""
            if result and result[-1] == [before]:
                result.pop()
            if before.strip() and not before.startswith((" ", "\t")):
                block.insert(0, before)
            if not _NOISE.search(before) and not _HARMLESS.search(before) and not _HARMLESS.search(block[-1]):
                result.append(_shorten(block))
            index = end
            continue
        if _FAILED_REQUEST.search(line) or (
            _INTERESTING.search(line) and not _NOISE.search(line) and not _HARMLESS.search(line)
        ):
            result.append([line])
        index += 1
    return result


def choose(lines: Sequence[str], limit: int) -> list[str]:
    """Choose at most ``limit`` lines that tell most; the last is the latest."""
    seen: dict[str, int] = {}
    chosen: list[list[str]] = []
    for block in reversed(blocks(lines)):
        key = _VARIABLE.sub("0", "\n".join(block))
        seen[key] = seen.get(key, 0) + 1
        if seen[key] == 1:
            chosen.append(block)
    kept: list[list[str]] = []
    room = limit
    for block in chosen:
        if len(block) > room and kept:
            break
        times = seen[_VARIABLE.sub("0", "\n".join(block))]
        text = block[-room:]
        kept.append(text if times == 1 else [*text, "    (so or alike %d times)" % times])
        room -= len(text)
        if room <= 0:
            break
    return [line for block in reversed(kept) for line in block]


def excerpt(
    path: str,
    start: int = 0,
    limit: int = 25,
    secrets: Iterable[str] = (),
    only_recent: bool = False,
    width: int = 400,
) -> list[str]:
    """Return the telling lines of a log file, masked.

    :param start: where the file ended when the proof began: what was written since is preferred
    :param limit: at most so many lines
    :param only_recent: return nothing if nothing telling was written since
    """
    try:
        recent = tail(path, start)
        lines, note = choose(recent, limit), ""
        if not lines and only_recent:
            return []
        if not lines and start:
            lines, note = (
                choose(tail(path), min(limit, TRACEBACK_LINES)),
                "(nothing telling since this proof began; before it:)",
            )
        if not lines:
            lines = [line for line in tail(path) if not _HARMLESS.search(line)][-min(limit, 3) :]
            note = "(nothing telling; its last lines:)" if lines else "(nothing telling)"
    except FileNotFoundError:
        return [] if only_recent else ["(there is no such file)"]
    except OSError as error:
        return ["(cannot be read: %s)" % (error.strerror or error)]
    if not lines and not note:
        return ["(empty)"]
    secrets = list(secrets)
    shown = [_cut(mask(line.rstrip(), secrets), width) for line in lines]
    return [note, *shown] if note else shown


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 4] + " ..."


def _end_of_traceback(lines: Sequence[str], start: int) -> int:
    """Return the index behind the exception's own line, chained exceptions included."""
    index = start + 1
    while index < len(lines):
        while index < len(lines) and (lines[index].startswith((" ", "\t")) or not lines[index].strip()):
            index += 1
        index += 1  # the line that names the exception
        # A message of several lines (SQLAlchemy's, PostgreSQL's) goes on with indented or bracketed lines.
        while index < len(lines) and lines[index].startswith(("\t", "  ", "[SQL", "(Background", "DETAIL", "HINT")):
            index += 1
        following = index
        while following < len(lines) and following < index + 4:
            if _TRACEBACK in lines[following]:
                break
            following += 1
        chained = any(lines[i].startswith(_CHAINED) for i in range(index, min(following, len(lines))))
        if not chained or following >= len(lines):
            break
        index = following + 1
    return min(index, len(lines))


def _shorten(block: list[str]) -> list[str]:
    if len(block) <= TRACEBACK_LINES:
        return block
    head = 2 if _TRACEBACK not in block[0] else 1
    keep = TRACEBACK_LINES - head - 1
    return [*block[:head], "    ... (%d lines)" % (len(block) - head - keep), *block[-keep:]]
