#!/usr/bin/python
# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module checkout."""

from __future__ import annotations

DOCUMENTATION = r"""
module: checkout
short_description: Look at a commit of a Galaxy repository, or lay its files out
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Tells which commit a branch or a tag stands for, which Galaxy that is, which packages it wants, and where the built
    client of it is.
  - With O(dest), writes the files of the commit into a directory.
  - Git keeps nothing on the machine.
options:
  repo:
    description: Address of the repository, or its path on the machine.
    type: str
    required: true
  commit:
    description: A branch, a tag, or a commit with all of its 40 digits.
    type: str
    required: true
  releases:
    description: Directory of the releases. Of a commit that one of them was built of, nothing is fetched.
    type: path
  release:
    description: The release that it is taken for - of another one, it is an error. Empty for any.
    type: str
    default: ""
  client:
    description: The package that has the client. Empty for the one of the release, which PyPI and npm are asked for.
    type: str
    default: ""
  fallback:
    description: The release to answer with in check mode on a machine that has no Git yet.
    type: str
    default: ""
  dest:
    description: Directory that is to be made, with the files of the commit.
    type: path
requirements:
  - git
attributes:
  check_mode:
    support: full
    description: With O(dest), nothing is written.
  diff_mode:
    support: none
    description: The files of a commit are too many.
"""

EXAMPLES = r"""
- name: Look at a branch
  dagobah.galaxy.checkout:
    repo: https://github.com/galaxyproject/galaxy.git
    commit: release_26.1
    releases: /srv/galaxy/releases
  register: checkout

- name: Lay its files out
  dagobah.galaxy.checkout:
    repo: https://github.com/galaxyproject/galaxy.git
    commit: "{{ checkout.commit }}"
    dest: /srv/galaxy/releases/26.1.3-0a1b2c3d/galaxy
"""

RETURN = r"""
commit:
  description: The commit in full. Empty if it could not be told (see O(fallback)).
  returned: success
  type: str
release:
  description: The release as PyPI would number it.
  returned: without O(dest)
  type: str
  sample: 26.1.2
requirements:
  description: The packages that the commit wants, as pip's requirements.
  returned: without O(dest)
  type: str
client:
  description:
    - The built client - C(package), a requirement; or C(url), C(version) and C(sha512), an archive of npm's.
    - Empty if the commit has it itself, and for classic Galaxy, for which there is none.
  returned: without O(dest)
  type: dict
"""

import json
import os
import shutil
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url
from ansible_collections.dagobah.galaxy.plugins.module_utils.checkout import (
    Checkout,
    CheckoutError,
    Repository,
    find_built,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.classic import generation, is_classic
from ansible_collections.dagobah.galaxy.plugins.module_utils.client import ClientError, find_client


def fetch(url: str) -> t.Any:
    """Return the JSON at an address."""
    with open_url(url, timeout=60) as answer:
        return json.load(answer)


def client_of(checkout: Checkout, package: str) -> dict[str, str]:
    """Return the client of a commit."""
    if is_classic(checkout.release):
        return {}
    if package:
        return {"package": package}
    if checkout.client is not None:
        return checkout.client
    try:
        return find_client(checkout.release, fetch)
    except (ClientError, OSError) as error:
        raise CheckoutError(
            "galaxy_client_package: has to be given, such as galaxy-web-client==26.1.2, or the commit needs a client"
            " in static/dist: %s" % error
        ) from error


def look(given: dict[str, t.Any], repository: Repository) -> dict[str, t.Any]:
    """Return what is known of a commit."""
    commit = repository.resolve(given["commit"])
    checkout = find_built(given["releases"] or "/nonexistent", commit) or repository.look(commit)
    if given["release"] and generation(given["release"]) != generation(checkout.release):
        raise CheckoutError(
            'galaxy_release: "%s": galaxy_commit_id is of Galaxy %s; leave galaxy_release out'
            % (given["release"], checkout.release)
        )
    return {**checkout.facts(), "client": client_of(checkout, given["client"])}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "repo": {"type": "str", "required": True},
            "commit": {"type": "str", "required": True},
            "releases": {"type": "path"},
            "release": {"type": "str", "default": ""},
            "client": {"type": "str", "default": ""},
            "fallback": {"type": "str", "default": ""},
            "dest": {"type": "path"},
        },
        supports_check_mode=True,
    )
    given = module.params
    if module.check_mode and not shutil.which("git"):
        if not given["dest"]:
            module.warn("git is not installed, so that in check mode nobody can tell what %s is" % given["commit"])
        module.exit_json(changed=False, commit="", release=given["fallback"], requirements="", client={})
    repository = Repository(given["repo"], module.tmpdir)
    dest = given["dest"]
    try:
        if not dest:
            module.exit_json(changed=False, **look(given, repository))
        changed = not os.path.exists(dest)
        if changed and not module.check_mode:
            repository.lay_out(given["commit"], dest)
        module.exit_json(changed=changed, commit=given["commit"])
    except (CheckoutError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
