# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building Galaxy, with a Galaxy that is a stand-in."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from galaxy_wsgi import Bridge, app_factory, server


class ApplicationStack:
    """As in galaxy.web_stack, as far as it is used."""

    server_name_template = "{server_name}"

    @property
    def facts(self) -> dict[str, str]:
        return {"server_name": "main"}

    def server_name(self) -> str:
        return self.server_name_template.format(**self.facts)


class Galaxy:
    """Records what the factory makes of it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.options: dict[str, Any] = {}
        self.web_stack: Any = None
        self.fails = False
        engine = SimpleNamespace(dispose=lambda: self.log.append("dispose"))
        self.model = self.install_model = SimpleNamespace(engine=engine)

    def shutdown(self) -> None:
        self.log.append("shutdown")

    def app_pair(self, global_conf: dict[str, str], **options: Any) -> tuple[Any, Any]:
        if self.fails:
            raise SystemExit(1)
        self.options = {**options, "global_conf": global_conf}
        self.stack = self.web_stack.application_stack_class()()
        self.stack.register_postfork_function(self.log.append, "hook 1")
        self.stack.register_postfork_function(self.log.append, "hook 2", post_fork_only=True)
        return object(), self

    def initialize_fast_app(self, _wsgi_app: Any, galaxy_app: Any) -> Any:
        assert galaxy_app is self

        async def app(scope: Any, _receive: Any, send: Any) -> None:
            assert scope["type"] == "http"
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"Galaxy"})

        return app


@pytest.fixture
def galaxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Galaxy]:
    fake = Galaxy()
    modules: dict[str, dict[str, Any]] = {
        "galaxy": {},
        "galaxy.web_stack": {"ApplicationStack": ApplicationStack, "application_stack_class": lambda: ApplicationStack},
        "galaxy.webapps": {},
        "galaxy.webapps.galaxy": {},
        "galaxy.webapps.galaxy.buildapp": {"app_pair": fake.app_pair},
        "galaxy.webapps.galaxy.fast_app": {"initialize_fast_app": fake.initialize_fast_app},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    fake.web_stack = sys.modules["galaxy.web_stack"]
    sys.modules["galaxy"].__dict__["web_stack"] = fake.web_stack
    monkeypatch.setenv("GALAXY_CONFIG_FILE", "")
    monkeypatch.delenv("GALAXY_CONFIG_FILE")
    monkeypatch.setenv("IS_WEBAPP", "")
    yield fake
    gc.unfreeze()


@pytest.fixture
def uwsgi(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    fake = SimpleNamespace(id=0)
    fake.worker_id = lambda: fake.id
    monkeypatch.setattr(server, "uwsgi", fake)
    return fake


CONF = {"__file__": "/srv/galaxy/config/galaxy.ini", "here": "/srv/galaxy/config"}


def test_galaxy_reads_the_file_that_paste_deploy_read(galaxy: Galaxy) -> None:
    app_factory(CONF, admin_users="a@example.org")
    assert galaxy.options["load_app_kwds"] == {"config_file": CONF["__file__"], "config_section": "app:main"}
    assert galaxy.options["global_conf"] == CONF
    assert galaxy.options["admin_users"] == "a@example.org"
    assert galaxy.options["wsgi_preflight"] is False
    assert os.environ["GALAXY_CONFIG_FILE"] == CONF["__file__"]
    assert os.environ["IS_WEBAPP"] == "1"


def test_it_is_a_wsgi_application(galaxy: Galaxy, call: Callable[..., Any]) -> None:
    application = app_factory(CONF)
    assert isinstance(application, Bridge)
    assert call(application).body == b"Galaxy"
    assert galaxy.log == ["hook 1"]


def test_hooks_wait_for_the_fork(galaxy: Galaxy, uwsgi: SimpleNamespace) -> None:
    app_factory(CONF)
    # Connections are closed in the master, and nothing has started there.
    assert set(galaxy.log) == {"dispose"}
    assert gc.get_freeze_count() > 0
    galaxy.log.clear()
    uwsgi.id = 2
    uwsgi.post_fork_hook()
    assert galaxy.log == ["hook 1", "hook 2"]
    assert galaxy.stack.server_name() == "main.2"
    uwsgi.atexit()
    assert galaxy.log == ["hook 1", "hook 2", "shutdown"]


def test_lazy_worker_starts_at_once(galaxy: Galaxy, uwsgi: SimpleNamespace) -> None:
    uwsgi.id = 1
    app_factory(CONF)
    assert galaxy.log == ["hook 1"]
    assert galaxy.stack.server_name() == "main.1"


@pytest.mark.parametrize("option", ["enable_sse_updates", "enable_mcp_server"])
@pytest.mark.parametrize("value, given", [("true", "false"), ("Yes", "false"), ("false", "false"), (None, None)])
def test_streams_are_switched_off(
    galaxy: Galaxy, caplog: pytest.LogCaptureFixture, option: str, value: str | None, given: str | None
) -> None:
    app_factory(CONF, **({option: value} if value else {}))
    assert galaxy.options.get(option) == given
    assert (option in caplog.text) is (value in ("true", "Yes"))


def test_galaxy_that_does_not_load(galaxy: Galaxy) -> None:
    galaxy.fails = True
    with pytest.raises(RuntimeError, match="did not load"):
        app_factory(CONF)
