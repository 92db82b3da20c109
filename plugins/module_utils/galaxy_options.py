# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Galaxy's options and job configuration, checked against what a release knows (release_schema.py)."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.dagobah.galaxy.plugins.module_utils.values import MASK, did_you_mean, is_secret, shown

OPTIONS_VARIABLE = "galaxy_config app:main"
JOB_CONFIG_VARIABLE = "galaxy_job_config"

# Galaxy takes everything but the first of these rows for false, also misspelt.
TRUE_WORDS = ("true", "yes", "on", "1")
FALSE_WORDS = ("false", "no", "off", "0")

# Options of PasteDeploy and of SQLAlchemy's, which no schema of Galaxy's lists.
ALWAYS_KNOWN = re.compile(r"paste\..+|use|filter-with|(set|get) .+|debug|prefix|(install_)?database_engine_option_.+")

# What documentation and old samples give as examples.
DEFAULT_SECRETS = frozenset(
    {
        "using the default is not secure!",
        "changeme",
        "change_me",
        "changethis",
        "change this",
        "secret",
        "password",
        "galaxy",
        "admin",
        "none",
        "xxx",
    }
)
SECRET_OPTIONS = (
    "id_secret",
    "bootstrap_admin_api_key",
    "master_api_key",
    "remote_user_secret",
    "tool_secret",
    "vault_secret",
)

# Blowfish, which Galaxy encrypts identifiers with, takes keys of these lengths in bytes.
ID_SECRET_BYTES = (5, 56)


@dataclass(frozen=True)
class Problem:
    """Something wrong, or worth a warning, in words for the person who wrote it."""

    text: str
    fatal: bool = True


def problem(variable: str, value: t.Any, allowed: str, fatal: bool = True, secret: bool = False) -> Problem:
    """Return a problem in the form "variable: value: what is allowed"."""
    name = re.split(r"[ .]", variable)[-1]
    text = MASK if secret and value not in (None, "") else shown(value, name)
    return Problem(f"{variable}: {text}: {allowed}", fatal)


# --- Options ---------------------------------------------------------------------------------------


def check_options(
    options: dict[str, t.Any], release: dict[str, t.Any], allow_unknown: bool = False, variable: str = OPTIONS_VARIABLE
) -> list[Problem]:
    """Return what is wrong with the names and the values of Galaxy's options."""
    known: dict[str, t.Any] = release["options"]
    unlisted = set(release.get("unlisted", ()))
    renamed: dict[str, str] = release.get("renamed", {})
    problems = []
    for name, value in options.items():
        where = f"{variable}.{name}"
        if name in known:
            problems += _check_value(where, value, known[name])
        elif name in renamed:
            problems.append(problem(where, value, f"Galaxy calls this option {renamed[name]} now", fatal=False))
            problems += _check_value(where, value, known.get(renamed[name], {}))
        elif name in unlisted or ALWAYS_KNOWN.fullmatch(name):
            continue
        elif name in release.get("dropped", ()):
            problems.append(problem(where, value, "Galaxy no longer has this option; leave it out", fatal=False))
        elif not allow_unknown:
            problems.append(
                problem(
                    where,
                    value,
                    f"Galaxy has no option {name}{did_you_mean(name, known)}"
                    " (galaxy_config_allow_unknown: true lets it pass)",
                )
            )
    return problems


def _is_number(value: t.Any, kind: type) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, (int, float)):
        return kind is float or isinstance(value, int)
    try:
        kind(str(value).strip())
    except ValueError:
        return False
    return True


def _check_value(where: str, value: t.Any, option: dict[str, t.Any]) -> list[Problem]:
    """Check one value against the type that the schema gives."""
    if value is None:
        return []
    kind = option.get("type", "any")
    if kind in ("map", "seq", "any") or not option:
        # galaxy.ini can only hold text; lists of words are joined by commas.
        if isinstance(value, dict) or (
            isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value)
        ):
            return [
                problem(
                    where, value, "structured values cannot stand in galaxy.ini; write a file and name it (..._file)"
                )
            ]
        return []
    if isinstance(value, dict):
        return [problem(where, value, f"has to be {_words(kind)}, not a dictionary")]
    if isinstance(value, list) and kind != "str":
        return [problem(where, value, f"has to be {_words(kind)}, not a list")]
    if kind == "bool" and str(value).strip().lower() not in TRUE_WORDS + FALSE_WORDS:
        return [problem(where, value, "has to be true or false")]
    if kind == "int" and not _is_number(value, int):
        return [problem(where, value, "has to be a whole number")]
    if kind == "float" and not _is_number(value, float):
        return [problem(where, value, "has to be a number")]
    enum = option.get("enum")
    if enum:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if text not in enum:
            hint = (
                " (quote it: YAML reads a bare on, off, yes or no as true or false)" if isinstance(value, bool) else ""
            )
            return [problem(where, value, f"allowed are {', '.join(enum)}{hint}")]
    return []


def _words(kind: str) -> str:
    return {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text"}.get(kind, kind)


def check_secrets(options: dict[str, t.Any], variable: str = OPTIONS_VARIABLE) -> list[Problem]:
    """Return what is wrong with the secrets among the options."""
    problems = []
    for name in SECRET_OPTIONS:
        value = options.get(name)
        if value is None:
            continue
        where = f"{variable}.{name}"
        text = str(value)
        if text.strip().lower() in DEFAULT_SECRETS or not text.strip():
            problems.append(
                problem(
                    where,
                    "" if not text.strip() else value,
                    "a value that everybody can read in documentation is no secret; leave the option out"
                    + (" and one is made" if name == "id_secret" else "")
                    + ", or give one that only you know",
                    secret=True,
                )
            )
        elif name == "id_secret":
            length = len(text.encode("utf-8", "replace"))
            lowest, highest = ID_SECRET_BYTES
            if not lowest <= length <= highest:
                problems.append(
                    problem(where, value, f"has {length} bytes; Galaxy takes from {lowest} to {highest}", secret=True)
                )
    return problems


# --- Job configuration -----------------------------------------------------------------------------


def check_job_config(config: t.Any, release: dict[str, t.Any], variable: str = JOB_CONFIG_VARIABLE) -> list[Problem]:
    """Return what is wrong with the types in a job configuration, by the release's schema."""
    schema = release.get("job_config")
    if not schema:
        return []
    # Galaxy reads it, the schema does not list it.
    config = {key: value for key, value in config.items() if key != "dynamic"} if isinstance(config, dict) else config
    return check_schema(config, schema, variable)


def check_schema(value: t.Any, schema: dict[str, t.Any], where: str) -> list[Problem]:
    """Check a value against a schema in the language of Kwalify, as far as Galaxy's schemas use it."""
    kind = schema.get("type", "map" if "mapping" in schema else "any")
    if value is None:
        return [problem(where, value, "has to be given")] if schema.get("required") else []
    if kind == "any":
        return []
    if kind == "map":
        return _check_map(value, schema, where)
    if kind == "seq":
        if not isinstance(value, list):
            return [problem(where, value, "has to be a list")]
        items = schema.get("sequence") or [{}]
        return [
            found
            for number, item in enumerate(value)
            for found in check_schema(item, items[0] or {}, f"{where}[{number}]")
        ]
    if kind == "bool" and not isinstance(value, bool):
        return [problem(where, value, "has to be true or false")]
    if kind == "int" and (isinstance(value, bool) or not isinstance(value, int)):
        return [problem(where, value, "has to be a whole number")]
    if kind in ("float", "number") and (isinstance(value, bool) or not isinstance(value, (int, float))):
        return [problem(where, value, "has to be a number")]
    if kind == "str" and not isinstance(value, str):
        return [
            problem(where, value, "has to be text" + ("; quote it" if isinstance(value, (bool, int, float)) else ""))
        ]
    if schema.get("enum") and str(value) not in schema["enum"]:
        return [problem(where, value, f"allowed are {', '.join(schema['enum'])}")]
    return []


def _check_map(value: t.Any, schema: dict[str, t.Any], where: str) -> list[Problem]:
    if not isinstance(value, dict):
        return [problem(where, value, "has to be a dictionary")]
    mapping: dict[str, t.Any] = schema.get("mapping") or {}
    patterns = [(name[7:-1], item) for name, item in mapping.items() if name.startswith("regex;(")]
    problems = []
    for key, item in value.items():
        path = f"{where}.{key}"
        if key in mapping:
            problems += check_schema(item, mapping[key] or {}, path)
            continue
        for pattern, sub in patterns:
            if re.fullmatch(pattern, str(key)):
                problems += check_schema(item, sub or {}, path)
                break
        else:
            if mapping and not schema.get("allowempty"):
                names = [name for name in mapping if not name.startswith("regex;(")]
                problems.append(
                    problem(
                        path,
                        MASK if is_secret(str(key)) else item,
                        f"unknown; known are {', '.join(names)}{did_you_mean(str(key), names)}",
                    )
                )
    for name, item in mapping.items():
        if isinstance(item, dict) and item.get("required") and name not in value:
            problems.append(problem(f"{where}.{name}", None, "has to be given"))
    return problems
