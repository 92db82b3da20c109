# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action check_input: everything wrong with a host's variables, at once, before any change."""

from __future__ import annotations

import json
import os
import re
import typing as t
from collections.abc import Mapping

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from ansible_collections.dagobah.galaxy.plugins.module_utils import preflight
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.files import COPIED
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import Spec
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.instances import check_instances
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.jobs import Files, own_files
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.names import ONE_VALUE, RETIRED
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.source import RELEASE
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.values import INSTANCE_NAME
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import Problem, problem
from ansible_collections.dagobah.galaxy.plugins.module_utils.local_tools import Tool, local_tools
from ansible_collections.dagobah.galaxy.plugins.module_utils.release_names import RELEASES
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError, plain

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROLES = os.path.join(COLLECTION, "roles")

# Variables that name files on the controller, and the directory beside a playbook in which they may be.
CONTROLLER_FILES = {
    "galaxy_welcome_file": "templates",
    "galaxy_requirements_file": "files",
    "galaxy_job_config_template": "templates",
}
# Variables that list names of templates, and the directory of templates/ in which they are.
CONTROLLER_TEMPLATES = {"nginx_configs": "nginx", "supervisor_configs": "supervisor"}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Check the variables of a host, on the controller."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return a result that has failed if anything is wrong."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec={"schema": {"type": "dict", "default": {}}})
        task_vars = task_vars or {}
        defaults, specs = self._read_roles()
        values, known = self._values({**defaults, **task_vars}, specs)
        own_files, found = self._own_files(values, {**defaults, **task_vars})
        release = plain(arguments["schema"]) or self._read_release(values)
        foreign = self._values(task_vars, {**RETIRED, **ONE_VALUE})[0]
        problems = preflight.check(
            specs,
            values,
            names=task_vars,
            release=release,
            files=own_files,
            foreign=foreign,
            platform=_platform(task_vars.get("ansible_facts") or {}),
            made_from=_made_from(defaults, task_vars, specs),
            known=[*known, *self._files(values), *found],
        )
        problems += self._neighbours(task_vars, defaults, specs)
        errors = [_on_one_line(found.text) for found in problems if found.fatal]
        warnings = [_on_one_line(found.text) for found in problems if not found.fatal]
        result.update(changed=False, release_known=release is not None)
        if warnings:
            result["warnings"] = [*result.get("warnings", []), *warnings]
        if errors:
            host = task_vars.get("inventory_hostname", "this host")
            count = "1 thing is" if len(errors) == 1 else f"{len(errors)} things are"
            result["failed"] = True
            result["msg"] = f"{count} wrong with the input for {host}; nothing has been changed.\n" + "\n".join(
                f"- {error}" for error in errors
            )
        else:
            result["msg"] = "The input is in order."
        return result

    def _load(self, path: str) -> t.Any:
        """Read a YAML file of the collection's, whose templates may be filled in."""
        try:
            return self._loader.load_from_file(path, trusted_as_template=True)
        except TypeError:
            # ansible-core 2.18 trusts all strings.
            return self._loader.load_from_file(path)

    def _read_roles(self) -> tuple[dict[str, t.Any], dict[str, Spec]]:
        """Return the defaults and the argument specs of all roles."""
        defaults: dict[str, t.Any] = {}
        specs: dict[str, Spec] = {}
        for role in sorted(os.listdir(ROLES)):
            path = os.path.join(ROLES, role, "defaults", "main.yml")
            if os.path.exists(path):
                defaults.update(self._load(path) or {})
            path = os.path.join(ROLES, role, "meta", "argument_specs.yml")
            if os.path.exists(path):
                main = plain(self._load(path))["argument_specs"].get("main", {})
                specs.update(main.get("options") or {})
        if not specs:
            raise AnsibleError(f"dagobah.galaxy.check_input: no argument specs below {ROLES}")
        return defaults, specs

    def _values(
        self, variables: dict[str, t.Any], specs: Mapping[str, t.Any]
    ) -> tuple[dict[str, t.Any], list[Problem]]:
        """Return the variables of the specs with their templates filled in."""
        templar = self._templar.copy_with_new_env(available_variables=variables)
        values: dict[str, t.Any] = {}
        problems: list[Problem] = []
        for name in specs:
            if name not in variables:
                continue
            try:
                values[name] = plain(templar.template(variables[name]))
            except InputError as error:
                problems.append(Problem(f"{name}: {error}"))
            except AnsibleError as error:
                problems.append(Problem(f"{name}: its template cannot be filled in: {error}"))
        return values, problems

    def _neighbours(
        self, task_vars: dict[str, t.Any], defaults: dict[str, t.Any], specs: dict[str, Spec]
    ) -> list[Problem]:
        """Check the instances of one machine against each other: once, on behalf of the first host of the play."""
        host = task_vars.get("inventory_hostname")
        play = list(task_vars.get("ansible_play_hosts_all") or [])
        if host not in play[:1]:
            return []
        hostvars, groups = task_vars["hostvars"], task_vars.get("groups", {})
        # Other hosts of the inventory may be on the same machine for other reasons; instances are in the same groups.
        kin = {
            name
            for group, names in groups.items()
            if group not in ("all", "ungrouped") and set(names) & set(play)
            for name in names
        }
        machines: dict[tuple[str, str], dict[str, dict[str, t.Any]]] = {}
        for name in sorted(kin | set(play)):
            variables = {**defaults, **hostvars.raw_get(name)}
            machines.setdefault(self._address(name, variables), {})[name] = variables
        return [
            found
            for instances in machines.values()
            if len(instances) > 1 and set(instances) & set(play)
            for found in check_instances({name: self._values(item, specs)[0] for name, item in instances.items()})
        ]

    def _address(self, name: str, variables: dict[str, t.Any]) -> tuple[str, str]:
        """Return what tells machines apart: where Ansible connects to."""
        if variables.get("ansible_connection") == "local":
            return "localhost", ""
        templar = self._templar.copy_with_new_env(available_variables=variables)
        address = templar.template(variables.get("ansible_host") or name)
        return str(address), str(templar.template(variables.get("ansible_port") or ""))

    def _files(self, values: dict[str, t.Any]) -> list[Problem]:
        """Check that the files on the controller are there."""
        named = [(name, directory, values.get(name)) for name, directory in CONTROLLER_FILES.items()]
        for name, directory in COPIED.items():
            for number, entry in enumerate(values.get(name) or []):
                if isinstance(entry, dict):
                    named.append((f"{name}[{number}].src", directory, entry.get("src")))
        for number, tool in enumerate(_local_tools(values)):
            path = f"{values.get('galaxy_local_tools_src_dir')}/{tool['file']}"
            named.append((f"galaxy_local_tools[{number}]", "files", path))
        for name, directory in CONTROLLER_TEMPLATES.items():
            given = [str(entry) for entry in values.get(name) or []]
            named += [
                (name, "templates", f"{directory}/{entry}.j2") for entry in given if INSTANCE_NAME.fullmatch(entry)
            ]
        problems = []
        for name, directory, value in named:
            if not isinstance(value, str) or not value:
                continue
            found = self._find(directory, value)
            # Only tools may be directories.
            if found is None or not (os.path.isfile(found) or name.startswith("galaxy_local_tools")):
                problems.append(
                    problem(
                        name, value, "there is no such file on the controller, beside the playbook or by its full path"
                    )
                )
        return problems

    def _find(self, directory: str, name: str) -> str | None:
        """Return the path of a file on the controller, or None if there is none, or can be none of this name."""
        try:
            return str(self._find_needle(directory, name))
        except (AnsibleError, ValueError):
            return None

    def _own_files(self, values: dict[str, t.Any], variables: dict[str, t.Any]) -> tuple[Files, list[Problem]]:
        """Return the text of the user's own configuration files that have to agree with variables."""
        files: Files = {}
        problems = []
        for option, (variable, name, is_template) in own_files(values).items():
            path = self._find("templates" if is_template else "files", name)
            if path is None or not os.path.isfile(path):
                continue  # Told by the check of the variable that names it.
            try:
                files[option] = (variable, name, self._template_file(path, variables) if is_template else _read(path))
            except (AnsibleError, OSError, UnicodeDecodeError) as error:
                problems.append(Problem(f"{variable}: {name}: its template cannot be filled in: {error}"))
        return files, problems

    def _template_file(self, path: str, variables: dict[str, t.Any]) -> str:
        """Return a file with its templates filled in, as the lookup of templates does it."""
        lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        return str(lookup.run([path], variables=variables)[0])

    def _read_release(self, values: dict[str, t.Any]) -> dict[str, t.Any] | None:
        """Return what the collection knows about the release, or None."""
        release = str(values.get("galaxy_release", ""))
        # Nobody knows what the options of a checkout are, before it is there.
        if values.get("galaxy_install_method") == "git" or not RELEASE.fullmatch(release):
            return None
        path = os.path.join(RELEASES, release, "options.json")
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as file:
            table: dict[str, t.Any] = json.load(file)
        return table


def _local_tools(values: dict[str, t.Any]) -> list[Tool]:
    try:
        return local_tools(values.get("galaxy_local_tools"))
    except InputError:
        return []  # Told by the check of files.


def _made_from(
    defaults: Mapping[str, t.Any], given: Mapping[str, t.Any], specs: Mapping[str, Spec]
) -> dict[str, set[str]]:
    """Return which variables stand in the defaults of those that nobody has given."""
    return {
        name: {source for source in re.findall(r"\w+", str(default)) if source in specs and source != name}
        for name, default in defaults.items()
        if "{{" in str(default) and given.get(name, default) == default
    }


def _on_one_line(text: str) -> str:
    """Return a text without the line breaks that the name of a key, or an error of Jinja's, may bring along."""
    return "".join(sign if sign.isprintable() else " " if sign.isspace() else "?" for sign in text)


def _platform(facts: Mapping[str, t.Any]) -> str:
    """Return the distribution of the host, such as Debian 12, if it has been asked."""
    return " ".join(str(facts.get(f"distribution{part}", "")) for part in ("", "_major_version")).strip()


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
