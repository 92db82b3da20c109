# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paste Deploy's way to Galaxy: builds the application, once for all processes that are forked from this one."""

from __future__ import annotations

import ctypes
import gc
import importlib
import logging
import os
from collections.abc import Callable
from typing import Any

from . import server, shortcuts
from .bridge import Bridge
from .proof import prove
from .worker import Worker

log = logging.getLogger(__name__)

# Galaxy's options that need connections without an end (see the package's docstring).
NEEDS_STREAMS = ("enable_sse_updates", "enable_mcp_server")

# How seldom Python looks for garbage meanwhile.
LOADING = (50_000, 20, 100)

# How the C library keeps memory that has been given back (mallopt(3)). One area for all threads: with one lock for all
# of Python there is nobody to get out of the way of. And the memory of a large text goes back to the system at once,
# where otherwise everything as large would be kept from then on. (option: value)
MALLOC = {-8: 1, -3: 256 * 1024}  # M_ARENA_MAX, M_MMAP_THRESHOLD

# Directories below Galaxy's data_dir, from which nginx sends files, too.
DOWNLOADS = ("objects", "tmp", "cache", "object_store_cache")


def app_factory(global_conf: dict[str, str], **local_conf: str) -> Bridge:
    """Return Galaxy as a WSGI application: a ``paste.app_factory``."""
    hooks = _install_stack()
    for option, value in MALLOC.items():
        ctypes.CDLL(None).mallopt(option, value)
    # While Galaxy loads, hardly anything is garbage, and looking for it takes seconds.
    thresholds = gc.get_threshold()
    gc.set_threshold(*LOADING)
    with shortcuts.shared_descriptions():
        asgi_app, galaxy_app = _build_galaxy(global_conf, _without_streams(local_conf))
    gc.set_threshold(*thresholds)

    def start() -> None:
        for hook in hooks:
            hook()

    # What two threads import at the same moment, each with its first request, one of them may get by half.
    importlib.import_module("anyio._backends._asyncio")
    state: dict[str, Any] = {}
    if server.is_preloading():
        _prepare_fork(galaxy_app)
    shortcuts.install(asgi_app)
    bridge = Bridge(asgi_app, state, _file_directories(local_conf))
    Worker(
        asgi_app,
        start=start,
        stop=galaxy_app.shutdown,
        state=state,
        prove=lambda: prove(asgi_app, state, local_conf.get("galaxy_url_prefix", "/")),
        finish=bridge.sender.finish,
    ).attach()
    return bridge


def _install_stack() -> list[Callable[[], Any]]:
    """Make Galaxy put off what must not cross a fork, and return the list where it puts it.

    Galaxy asks its *application stack*, the class for the server that it finds itself in. It has one for gunicorn,
    which relies on ``os.register_at_fork`` (uWSGI calls that only if told to, and so would any other fork of a worker)
    and starts a thread that hopes to be told its number within a second. uWSGI has a hook for exactly this purpose.
    """
    from galaxy import web_stack

    hooks: list[Callable[[], Any]] = []
    deferred = server.is_preloading()

    class UwsgiApplicationStack(web_stack.ApplicationStack):  # type: ignore[misc]
        """Galaxy below uWSGI."""

        name = "uWSGI"
        # As Galaxy below gunicorn names its workers: main.1, main.2 ...
        server_name_template = "{server_name}.{worker_id}"

        @classmethod
        def register_postfork_function(
            cls, f: Callable[..., Any], *args: Any, post_fork_only: bool = False, **kwargs: Any
        ) -> None:
            if deferred:
                hooks.append(lambda: f(*args, **kwargs))
            elif not post_fork_only:
                f(*args, **kwargs)

        @property
        def facts(self) -> Any:
            facts = super().facts
            facts.update({"worker_id": str(server.worker_id())})
            return facts

    web_stack.application_stack_class = lambda: UwsgiApplicationStack
    return hooks


def _build_galaxy(global_conf: dict[str, str], local_conf: dict[str, str]) -> tuple[Any, Any]:
    """Return Galaxy's ASGI application and the Galaxy below it, from the file that Paste Deploy has read."""
    config_file = global_conf["__file__"]
    # Galaxy's Celery application and its command line tools look for their configuration here.
    os.environ.setdefault("GALAXY_CONFIG_FILE", config_file)
    os.environ["IS_WEBAPP"] = "1"

    from galaxy.webapps.galaxy.buildapp import app_pair
    from galaxy.webapps.galaxy.fast_app import initialize_fast_app

    try:
        wsgi_app, galaxy_app = app_pair(
            global_conf,
            load_app_kwds={"config_file": config_file, "config_section": "app:main"},
            wsgi_preflight=False,
            register_shutdown_at_exit=False,
            **local_conf,
        )
    except SystemExit as error:
        # Galaxy has said why, and wants to exit. uWSGI's need-app decides what to do about it.
        raise RuntimeError("Galaxy did not load") from error
    return initialize_fast_app(wsgi_app, galaxy_app), galaxy_app


def _file_directories(local_conf: dict[str, str]) -> list[str]:
    """Return where files may be that Galaxy has sent: never its configuration, which its user can read, too."""
    return [os.path.join(local_conf["data_dir"], name) for name in DOWNLOADS] if "data_dir" in local_conf else []


def _without_streams(local_conf: dict[str, str]) -> dict[str, str]:
    for option in NEEDS_STREAMS:
        if local_conf.get(option, "false").strip().lower() in ("true", "yes", "on", "1", "t", "y"):
            log.warning("%s is switched off: it needs connections that stay open, which WSGI cannot carry", option)
            local_conf = {**local_conf, option: "false"}
    return local_conf


def _prepare_fork(galaxy_app: Any) -> None:
    """Leave nothing to the workers that they could not share."""
    # A database connection that two processes talk on is lost for both.
    for mapping in (galaxy_app.model, galaxy_app.install_model):
        mapping.engine.dispose()
    # The collector writes to every object that it looks at. Those which are there to stay it must not touch, or the
    # workers' memory would be copied bit by bit.
    gc.collect()
    gc.freeze()
    # What loading has used and given back, the C library would keep for each worker to write to.
    ctypes.CDLL(None).malloc_trim(0)
