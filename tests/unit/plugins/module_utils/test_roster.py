# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rosters as spreadsheets save them, and what is wrong with some."""

from __future__ import annotations

import contextlib

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.roster import RosterError, Seat, read_roster
from hypothesis import given
from hypothesis import strategies as st

PLAIN = "seat,student,address\nseat01,Ada Lovelace,192.0.2.11\nseat02,Zoë Müller,192.0.2.12\n"
SEATS = [("seat01", "Ada Lovelace", "192.0.2.11"), ("seat02", "Zoë Müller", "192.0.2.12")]


def csv(text: str) -> list[Seat]:
    return read_roster(text.encode(), "roster.csv")


def short(seats: list[Seat]) -> list[tuple[str, str, str]]:
    return [(seat.name, seat.student, seat.address) for seat in seats]


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
        PLAIN.encode("cp1252"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode("utf-16"),
        PLAIN.replace(",", " , ").replace("Ada", "  Ada").encode(),
        PLAIN.replace("\n", ",,\n").encode(),
        ("\n\n# A class\n" + PLAIN + "\n,,\n").encode(),
        PLAIN.replace("Ada Lovelace", '"Ada  Lovelace"').encode(),
        PLAIN.replace("seat,student", "Seat,STUDENT").encode(),
    ],
    ids=str,
)
def test_what_spreadsheets_save(content: bytes) -> None:
    assert short(read_roster(content, "roster.csv")) == SEATS


def test_yaml() -> None:
    text = """
seats:
  - {seat: seat01, student: Ada Lovelace, address: 192.0.2.11, uwsgi_threads: 4}
  - seat: seat02
    student: Zoë Müller
    address: 192.0.2.12
    variables: {galaxy_release: "25.1.3"}
"""
    seats = read_roster(text.encode(), "class/roster.yml")
    assert short(seats) == SEATS
    assert [seat.variables for seat in seats] == [{"uwsgi_threads": 4}, {"galaxy_release": "25.1.3"}]
    assert [seat.line for seat in seats] == [3, 4]


def test_cells_of_variables_are_yaml() -> None:
    seats = csv("seat,a,b,c,galaxy_release,E\nx,2,true,[1],26.1.2,:\ny,,,,,\n")
    assert seats[0].variables == {"a": 2, "b": True, "c": [1], "galaxy_release": "26.1.2", "E": ":"}
    assert seats[1].variables == {}


@pytest.mark.parametrize(
    "given_address, address, port",
    [
        ("192.0.2.1", "192.0.2.1", None),
        ("192.0.2.1:2222", "192.0.2.1", 2222),
        ("2001:db8::1", "2001:db8::1", None),
        ("[2001:db8::1]:22", "2001:db8::1", 22),
        ("seat.example.org", "seat.example.org", None),
        ("seat.example.org:22", "seat.example.org", 22),
        ("", "", None),
    ],
)
def test_addresses(given_address: str, address: str, port: int | None) -> None:
    seat = csv(f"seat,address\nx,{given_address}\n")[0]
    assert (seat.address, seat.port) == (address, port)


def test_without_an_address_of_mail_there_is_one_that_leads_nowhere() -> None:
    assert csv("seat\nseat01\n")[0].email == "seat01@cohort.invalid"


@pytest.mark.parametrize(
    "text, words",
    [
        ("", ["roster.csv: there is no seat"]),
        ("seat,student\n", ["there is no seat"]),
        ("student,address\nAda,192.0.2.1\n", ["line 1", "names of the columns: seat"]),
        ("seat01,Ada,192.0.2.1\n", ["line 1", "names of the columns"]),
        ("seat,student,student\n", ["line 1: the column student is there twice"]),
        ("seat,uwsgi threads\nx,1\n", ["line 1", '"uwsgi threads"', "nor the name of a variable"]),
        ("seat,student\nx,Ada,1,2\n", ["line 2: has 4 cells, and the header has 2: seat,student"]),
        ("seat,student\n,Ada\n", ["line 2: there is no seat"]),
        ("seat\nSeat 1\n", ["line 2", '"Seat 1"', "lower-case", "seat-1 would do"]),
        ("seat\nMüller\n", ['"Müller"', "mueller would do"]),
        ("seat\nseat_1\n", ["seat-1 would do"]),
        ("seat\n-a\n", ['"-a"']),
        ("seat\na\nb\na\n", ["line 4", '"a"', "line 2 has it already"]),
        ("seat,address\na,192.0.2.1\nb,192.0.2.1\n", ["line 3: address", "192.0.2.1", "line 2 has it already (a)"]),
        ("seat,address\na,h.example.org\nb,H.example.org\n", ["line 3: address", "line 2"]),
        ("seat,email\na,a@example.org\nb,A@example.org\n", ["line 3: email", "line 2"]),
        ("seat,address\na,192.0.2.300\n", ["line 2: address", '"192.0.2.300"']),
        ("seat,address\na,192.0.2.1:99999\n", ["from 1 to 65535"]),
        ("seat,address\na,ssh://192.0.2.1\n", ["line 2: address", '"ssh://192.0.2.1"']),
        ("seat,address\na,two words\n", ["line 2: address"]),
        ("seat,email\na,ada\n", ["line 2: email", '"ada"', "one address"]),
    ],
)
def test_what_is_wrong(text: str, words: list[str]) -> None:
    with pytest.raises(RosterError) as error:
        csv(text)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    "text, words",
    [
        ("seats: 3", ["line 1", "has to be a list"]),
        ("a: {seat: b}", ["has to be a list"]),
        ("- seat01\n- seat02\n", ["line 1", '"seat01"', "a dictionary"]),
        ("- seat: a\n- student: Ada\n", ["line 2: there is no seat"]),
        ("- seat: a\n  variables: [1]\n", ["line 1: variables"]),
        ("- seat: [a]\n", ["line 1: seat: [", "has to be text"]),
        ("- seat: a\n - b\n", ["line 2", "not YAML"]),
        ("- seat: a\n  uwsgi threads: 1\n", ["line 1", '"uwsgi threads"', "nor the name of a variable"]),
    ],
)
def test_what_is_wrong_in_yaml(text: str, words: list[str]) -> None:
    with pytest.raises(RosterError) as error:
        read_roster(text.encode(), "roster.yaml")
    for word in words:
        assert word in str(error.value)


def test_everything_is_told_at_once() -> None:
    with pytest.raises(RosterError) as error:
        csv("seat,address\nA B,192.0.2.1\nb,nowhere at all\nc,192.0.2.1\n")
    assert [line.split(":")[0] for line in str(error.value).splitlines()] == [
        "roster.csv, line 2",
        "roster.csv, line 3",
        "roster.csv, line 4",
    ]


@given(st.binary(max_size=200), st.sampled_from(["roster.csv", "roster.yml"]))
def test_whatever_is_in_the_file_is_a_roster_or_an_error(content: bytes, name: str) -> None:
    with contextlib.suppress(RosterError):
        assert read_roster(content, name)
