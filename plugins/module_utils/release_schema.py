# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Galaxy release knows about its own configuration, as JSON.

This file is run by the Python of the release (``release/bin/python release_schema.py``), since the
machine's own Python has neither Galaxy nor, always, PyYAML. It therefore imports nothing of Ansible's
and of this collection's. Facts only: names, types and allowed values, no descriptions.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import sys
import typing as t

# What of the schemas is a fact that a value can be checked against.
FACTS = ("type", "enum", "mapping", "sequence", "allowempty", "required", "range", "pattern")

# Variables in Galaxy's sources that hold the options of [app:main].
OPTION_HOLDERS = ("kwargs", "conf", "local_conf")


def find_config_package() -> str:
    """Return the directory of galaxy.config."""
    spec = importlib.util.find_spec("galaxy.config")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("galaxy.config is not installed here")
    return next(iter(spec.submodule_search_locations))


def facts(schema: t.Any, top: bool = True) -> t.Any:
    """Return the schema without prose and defaults."""
    if not isinstance(schema, dict):
        return {}
    result: dict[str, t.Any] = {}
    for key in FACTS:
        if key not in schema:
            continue
        value = schema[key]
        if key == "mapping":
            value = {str(name): facts(item, False) for name, item in value.items()}
        elif key == "sequence":
            value = [facts(item, False) for item in value or []]
        elif key == "enum":
            value = [str(item) for item in value]
        elif key == "required" and (top or not value):
            continue
        result[key] = value
    return result


def read_yaml(path: str) -> t.Any:
    """Read a schema, with what it includes."""
    import yaml  # pylint: disable=import-outside-toplevel

    class Loader(yaml.SafeLoader):
        """A loader that knows !include."""

    def include(loader: t.Any, node: t.Any) -> t.Any:
        return read_yaml(os.path.join(os.path.dirname(path), loader.construct_scalar(node)))

    Loader.add_constructor("!include", include)
    with open(path, encoding="utf-8") as file:
        return yaml.load(file, Loader=Loader)  # noqa: S506 (a safe loader)


def options_in_source(path: str) -> set[str]:
    """Return the names of options that a module reads although no schema lists them."""
    if not os.path.exists(path):
        return set()
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    names = set()
    for node in ast.walk(tree):
        key: t.Any = None
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "get"
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id in OPTION_HOLDERS
            and node.args
        ):
            key = node.args[0]
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in OPTION_HOLDERS:
            key = node.slice
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            names.add(key.value)
    return names


def renamed_in_source(path: str) -> dict[str, str]:
    """Return the options that the configuration class still reads under an older name."""
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    renamed: dict[str, str] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Dict):
            continue
        if any(isinstance(target, ast.Name) and target.id == "renamed_options" for target in node.targets):
            renamed.update(ast.literal_eval(node.value))
    return renamed


def actions_in_source(path: str) -> tuple[list[str], dict[str, str]]:
    """Return the options that the release has dropped, and those it has renamed."""
    dropped: list[str] = []
    renamed: dict[str, str] = {}
    if not os.path.exists(path):
        return dropped, renamed
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    for node in ast.walk(tree):
        if not isinstance(node, ast.Dict):
            continue
        for key, value in zip(node.keys, node.values):  # noqa: B905 - Python 3.9, of Debian 11, knows no strict
            if not (isinstance(key, ast.Constant) and isinstance(value, ast.Call) and isinstance(value.func, ast.Name)):
                continue
            if value.func.id == "_DeprecatedAndDroppedAction":
                dropped.append(str(key.value))
            elif value.func.id == "_RenameAction" and value.args and isinstance(value.args[0], ast.Constant):
                renamed[str(key.value)] = str(value.args[0].value)
    return dropped, renamed


def read_release(package: str | None = None) -> dict[str, t.Any]:
    """Return what the installed release knows."""
    package = package or find_config_package()
    schemas = os.path.join(package, "schemas")
    if not os.path.isdir(schemas):
        # Where classic releases have them.
        schemas = os.path.join(os.path.dirname(package), "webapps", "galaxy")
    raw = read_yaml(os.path.join(schemas, "config_schema.yml"))["mapping"]["galaxy"]["mapping"]
    sources = [os.path.join(package, "__init__.py")]
    galaxy = os.path.dirname(package)
    sources += [os.path.join(galaxy, "webapps", *parts) for parts in (("galaxy", "buildapp.py"), ("base", "webapp.py"))]
    unlisted: set[str] = set()
    for source in sources:
        unlisted |= options_in_source(source)
    dropped, renamed = actions_in_source(os.path.join(package, "config_manage.py"))
    renamed.update(renamed_in_source(sources[0]))
    for name, option in raw.items():
        if isinstance(option, dict) and option.get("deprecated_alias"):
            renamed[option["deprecated_alias"]] = name
    options = {name: facts(option) for name, option in raw.items()}
    # The oldest classic releases have none.
    job_schema = os.path.join(schemas, "job_config_schema.yml")
    job_config = facts(read_yaml(job_schema)) if os.path.exists(job_schema) else {}
    # Included in the schema of the options as a whole; here it stands for itself.
    options.get("job_config", {}).pop("mapping", None)
    return {
        "options": options,
        "unlisted": sorted(unlisted - set(options) - {"__file__"}),
        "renamed": {old: new for old, new in sorted(renamed.items()) if old not in options},
        "dropped": sorted(set(dropped) - set(options)),
        "job_config": job_config,
    }


def main() -> None:
    """Print the facts, sorted, so that the same release gives the same text."""
    json.dump(read_release(), sys.stdout, indent=1, sort_keys=True, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
