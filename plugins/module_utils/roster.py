# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roster of a class: one seat a line, as CSV from a spreadsheet or as YAML.

Spreadsheets save what they save: with a byte order mark or without, in UTF-8, UTF-16 or Windows-1252, with commas,
semicolons or tabs, with spaces around everything. All of that is read. What is wrong is told with its line, everything
at once.
"""

from __future__ import annotations

import codecs
import csv
import io
import ipaddress
import re
import typing as t
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError, shown

# What is read of a seat by its own name; every other column is a variable of it.
COLUMNS = ("seat", "student", "address", "email")
# A label of a host name (RFC 1123), in the one case in which it is compared.
SEAT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PORT = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\s]+):(?P<port>\d{1,5})")
NO_VARIABLE = f"is neither a column ({', '.join(COLUMNS)}) nor the name of a variable"
# No mail ever arrives there (RFC 2606).
NO_MAIL = "cohort.invalid"

MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class RosterError(InputError):
    """What is wrong with a roster, a line of the message for each."""


@dataclass
class Seat:
    """One student's machine."""

    name: str
    student: str = ""
    address: str = ""
    port: int | None = None
    email: str = ""
    # Variables that this seat has and others have not.
    variables: dict[str, t.Any] = field(default_factory=dict)
    # Where in the roster it is.
    line: int = 0


def read_roster(content: bytes, name: str) -> list[Seat]:
    """Return the seats of a roster.

    :param content: The file.
    :param name: Its name, which says by .yml or .yaml that it is YAML; anything else is CSV.
    :raises RosterError: if something is wrong with it
    """
    text = "\n".join(_decode(content).splitlines()) + "\n"
    rows = _from_yaml(text, name) if name.endswith((".yml", ".yaml")) else _from_csv(text, name)
    seats: list[Seat] = []
    wrong: list[str] = []
    try:
        for line, row in rows:
            seat, faults = _seat(row, line)
            seats.append(seat)
            wrong += [f"{name}, line {line}: {fault}" for fault in faults]
    except csv.Error as error:
        raise RosterError(f"{name}: this is no CSV: {error}") from error
    wrong += [f"{name}, {fault}" for fault in _twice(seats)]
    if not seats and not wrong:
        wrong.append(f"{name}: there is no seat in it")
    if wrong:
        raise RosterError("\n".join(wrong))
    return seats


def _decode(content: bytes) -> str:
    for mark, encoding in MARKS:
        if content.startswith(mark):
            return content.decode(encoding, errors="replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        # Every byte is something there, or next to nothing.
        return content.decode("cp1252", errors="replace")


def _from_csv(text: str, name: str) -> Iterator[tuple[int, dict[str, t.Any]]]:
    lines = text.splitlines()
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return
    # The header has no column with one of these in its name.
    delimiter = max(",;\t", key=lines[first].count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    header: list[str] = []
    line = 0
    for row in reader:
        # A quoted cell may have several lines; the first one is where people look.
        first_line, line = line + 1, reader.line_num
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        if not header:
            header = [cell.lower() if cell.lower() in COLUMNS else cell for cell in cells]
            _check_header(header, f"{name}, line {first_line}")
        elif any(cells[len(header) :]):
            raise RosterError(
                f"{name}, line {first_line}: has {len(cells)} cells, and the header has {len(header)}:"
                f" {delimiter.join(header)}"
            )
        else:
            yield first_line, {key: _cell(key, cell) for key, cell in zip(header, cells, strict=False) if key and cell}


def _check_header(header: list[str], where: str) -> None:
    if "seat" not in header:
        raise RosterError(
            f"{where}: {shown(', '.join(header))}: has to be the names of the columns: seat, and any of student,"
            " address, email and names of variables"
        )
    for column in filter(None, header):
        if header.count(column) > 1:
            raise RosterError(f"{where}: the column {column} is there twice")
        if not VARIABLE.fullmatch(column):
            raise RosterError(f"{where}: {shown(column)}: {NO_VARIABLE}")


def _cell(key: str, cell: str) -> t.Any:
    """Return a variable's value as YAML would have it: 2 is a number, true is true."""
    import yaml

    if key in COLUMNS:
        return cell
    try:
        return yaml.safe_load(cell)
    except yaml.YAMLError:
        return cell


def _from_yaml(text: str, name: str) -> Iterator[tuple[int, dict[str, t.Any]]]:
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise RosterError(f"{name}{line}: this is not YAML: {getattr(error, 'problem', error)}") from error
    if data is None:
        return
    if isinstance(data, dict) and list(data) == ["seats"] and isinstance(node, yaml.MappingNode):
        node, data = node.value[0][1], data["seats"]
    if not isinstance(data, list) or not isinstance(node, yaml.SequenceNode):
        raise RosterError(f"{name}, line 1: has to be a list of seats, each a dictionary with the key seat")
    for item, entry in zip(node.value, data, strict=True):
        line = item.start_mark.line + 1
        if not isinstance(entry, dict):
            raise RosterError(f"{name}, line {line}: {shown(entry)}: has to be a dictionary with the key seat")
        variables = entry.pop("variables", None) or {}
        if not isinstance(variables, dict):
            raise RosterError(f"{name}, line {line}: variables: {shown(variables)}: has to be a dictionary")
        yield line, {**{str(key): value for key, value in entry.items()}, **{str(k): v for k, v in variables.items()}}


def _seat(row: dict[str, t.Any], line: int) -> tuple[Seat, list[str]]:
    faults = []
    texts = {}
    for key in COLUMNS:
        value = row.pop(key, None)
        if value is not None and not isinstance(value, (str, int)):
            faults.append(f"{key}: {shown(value)}: has to be text")
        texts[key] = " ".join(str(value).split()) if value is not None else ""
    seat = Seat(texts["seat"], texts["student"], texts["address"], email=texts["email"], line=line)
    if not seat.name:
        faults.append("there is no seat in it")
    elif not SEAT.fullmatch(seat.name):
        better = _label(seat.name)
        hint = f"; {better} would do" if better else ""
        faults.append(
            f"seat: {shown(seat.name)}: has to be lower-case letters, digits and hyphens, 63 at most, as in a host"
            f" name{hint}"
        )
    faults += _place(seat)
    if not seat.email:
        seat.email = f"{seat.name}@{NO_MAIL}"
    elif not EMAIL.fullmatch(seat.email):
        faults.append(f"email: {shown(seat.email)}: has to be one address, such as name@example.org")
    for key, value in row.items():
        if not VARIABLE.fullmatch(key):
            faults.append(f"{shown(key)}: {NO_VARIABLE}")
        seat.variables[key] = value
    return seat, faults


def _label(name: str) -> str:
    """Return a name for a seat that looks like what was written; nothing if there is none."""
    for letter, letters in {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"}.items():
        name = name.lower().replace(letter, letters)
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-")[:63]


def _place(seat: Seat) -> Iterator[str]:
    """Take the port out of a seat's address, and yield what is wrong with the address."""
    given = seat.address
    found = PORT.fullmatch(given)
    if found and given.count(":") == 1 + found["host"].count(":"):
        seat.address, seat.port = found["host"], int(found["port"])
        if not 1 <= seat.port <= 65535:
            yield f"address: {shown(given)}: the port has to be from 1 to 65535"
    seat.address = seat.address.strip("[]")
    if seat.address and not _is_address(seat.address):
        yield f"address: {shown(given)}: has to be an IP address or a host name, with :port if need be"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        # 192.0.2.300 is no name either.
        return bool(HOST_NAME.fullmatch(text)) and not re.fullmatch(r"[0-9.]+", text)
    return True


def _twice(seats: Iterable[Seat]) -> Iterator[str]:
    """Yield which seats have a name, an address or a student's mail in common."""
    first: dict[tuple[str, t.Any], Seat] = {}
    for seat in seats:
        keys: list[tuple[str, t.Any]] = [("seat", seat.name)]
        if seat.address:
            keys.append(("address", (seat.address.lower(), seat.port)))
        if seat.email and not seat.email.endswith(f"@{NO_MAIL}"):
            keys.append(("email", seat.email.lower()))
        for key in keys:
            other = first.setdefault(key, seat)
            if other is not seat and key[1]:
                value = key[1] if isinstance(key[1], str) else key[1][0]
                yield f"line {seat.line}: {key[0]}: {shown(value)}: line {other.line} has it already ({other.name})"
