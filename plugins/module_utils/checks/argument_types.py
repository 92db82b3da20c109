# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Types: each variable against its argument spec."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import Spec, Variables
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import (
    FALSE_WORDS,
    TRUE_WORDS,
    Problem,
    problem,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import MASK, is_secret

WHOLE_NUMBER = re.compile(r"-?[0-9]+")

TYPE_WORDS = {
    "str": "text",
    "path": "the path of a file or directory",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a dictionary",
}


def check_types(specs: Mapping[str, Spec], values: Variables) -> tuple[list[Problem], Variables]:
    """Return what does not fit the argument specs, and the values that do fit, in the type of the spec."""
    problems: list[Problem] = []
    good: Variables = {}
    for name, spec in specs.items():
        if name not in values:
            if spec.get("required"):
                problems.append(problem(name, None, f"has to be given: {_expected(spec)}"))
            continue
        value = _word(values[name], spec)
        secret = bool(spec.get("no_log"))
        if not _fits(value, spec.get("type", "str")):
            hint = ""
            if isinstance(value, str) and spec.get("type") in ("list", "dict"):
                example = '["..."]' if spec["type"] == "list" else '{"...": "..."}'
                hint = f""" (on the command line: -e '{{"{name}": {example}}}')"""
            problems.append(problem(name, value, f"has to be {_expected(spec)}{hint}", secret=secret))
            continue
        bare = {key: item for key, item in spec.items() if key not in ("default", "required")}
        result = ArgumentSpecValidator({name: bare}).validate({name: value})
        if result.error_messages:
            why = "; ".join(_without(message, _secrets_in(value)) for message in result.error_messages)
            detail = f" ({why})" if "options" in spec and not secret else ""
            problems.append(problem(name, value, f"has to be {_expected(spec)}{detail}", secret=secret))
            continue
        # Paths are looked at as they were written: conversion would fill in ~ and $VARIABLES.
        good[name] = value if spec.get("type") in ("path", "raw", "dict", "list") else result.validated_parameters[name]
    return problems, good


def _expected(spec: Spec) -> str:
    if spec.get("choices"):
        return "one of " + ", ".join(str(choice) for choice in spec["choices"])
    words = TYPE_WORDS.get(spec.get("type", "str"), "a value")
    elements = spec.get("elements")
    if elements:
        words += {"str": " of texts", "dict": " of dictionaries", "int": " of whole numbers"}.get(
            elements, f" of {elements}"
        )
    options = spec.get("options")
    if options:
        words += " with the keys " + ", ".join(
            name + (" (required)" if item.get("required") else "") for name, item in options.items()
        )
    return words


def _word(value: t.Any, spec: Spec) -> t.Any:
    """Return the choice that YAML has taken for true or false, such as an unquoted off."""
    words = [choice for choice in spec.get("choices") or [] if choice in (TRUE_WORDS if value else FALSE_WORDS)]
    return words[0] if isinstance(value, bool) and spec.get("type", "str") == "str" and len(words) == 1 else value


def _fits(value: t.Any, kind: str) -> bool:
    """Tell whether a value has a type, more strictly than Ansible, which for example makes text of a list."""
    if kind == "dict":
        return isinstance(value, dict)
    if kind == "list":
        return isinstance(value, list)
    if kind in ("str", "path"):
        return isinstance(value, str) or (
            kind == "str" and isinstance(value, (int, float)) and not isinstance(value, bool)
        )
    if kind == "bool":
        return isinstance(value, bool) or str(value).strip().lower() in TRUE_WORDS + FALSE_WORDS
    if kind == "int":
        # Python takes 1_0 and 10.0 for ten, too, but it is read by others as it is written.
        return (isinstance(value, int) and not isinstance(value, bool)) or (
            isinstance(value, str) and bool(WHOLE_NUMBER.fullmatch(value))
        )
    return True


def _secrets_in(value: t.Any) -> list[str]:
    if isinstance(value, dict):
        return [
            secret
            for key, item in value.items()
            for secret in ([str(item)] if is_secret(str(key)) and isinstance(item, (str, int)) else _secrets_in(item))
        ]
    if isinstance(value, list):
        return [secret for item in value for secret in _secrets_in(item)]
    return []


def _without(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    return text
