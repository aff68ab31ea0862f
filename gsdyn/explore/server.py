"""The pages on this machine alone, by Bokeh's own server, until somebody stops it."""

from __future__ import annotations

import contextlib
import errno
import html
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.server.server import Server
from threadpoolctl import threadpool_limits
from tornado.ioloop import IOLoop
from tornado.web import RedirectHandler, RequestHandler

from gsdyn import _checks
from gsdyn.explore import two_features, two_features_page, two_moons, two_moons_page
from gsdyn.explore._bench import PAGES
from gsdyn.plotting.pages import look

LOOPBACK, PORT = "127.0.0.1", 5006


def serve(
    port: int = PORT, *, browse: bool = True, report: str | Path | None = None, ready: Callable[[str], Any] = print
) -> None:
    """Show the pages at a port of this machine, to it alone, until it is interrupted.

    - `port`: 0 for any that is free. `browse`: open a browser there.
    - `report`: a starvation report that `Report.save` wrote as `.zarr` or `.json`, to show beside them.
    - `ready`: called with the address once everything is compiled.

    Raises `ValueError` for a port that is in use and for a report that cannot be read.

        >>> gs.explore.serve(port=0, browse=False)  # doctest: +SKIP
    """
    port = _free(_checks.integer("port", port, 0, 65535))
    pages = [
        (r"/", RedirectHandler, {"url": PAGES[0][0], "permanent": False}),
        (r"/report", _Page, {"content": _frame(report is not None)}),
        (r"/report/page", _Page, {"content": "" if report is None else _report(report)}),
    ]
    applications = {
        "/two-features": Application(FunctionHandler(two_features_page.page)),
        "/two-moons": Application(FunctionHandler(two_moons_page.page)),
    }
    origins = [f"{LOOPBACK}:{port}", f"localhost:{port}"]
    server = Server(
        applications, port=port, address=LOOPBACK, allow_websocket_origin=origins, use_index=False, extra_patterns=pages
    )
    address = f"http://{LOOPBACK}:{port}"
    with one_thread(), _stopping(server.io_loop):
        prepare()
        server.start()
        ready(address)
        if browse:
            webbrowser.open(address)
        server.io_loop.start()
        server.stop()


def prepare() -> None:
    """Compile what moves of the sliders run, so that none of them waits."""
    two_features.view(two_features.Settings())
    two_features.view(two_features.Settings(decay=0.0))
    two_moons.view(two_moons.Settings(decoupling=0.1))


def one_thread() -> threadpool_limits:
    """While it is entered, linear algebra in one thread: a move factorises systems of a hundred unknowns, on which
    several threads wait for each other, at full speed, many times longer than they compute."""
    return threadpool_limits(1, "blas")


def _free(port: int) -> int:
    """`port`, or one that is free for 0, after trying it."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, port))
            return probe.getsockname()[1]
    except OSError as error:
        told = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
        raise ValueError(f"port must be free, got {port}, which {told}: choose another, or 0 for any") from None


@contextlib.contextmanager
def _stopping(loop: IOLoop) -> Iterator[None]:
    """An interruption ends the loop after what it is doing, and nothing in the middle of it."""
    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield
        return

    def stop(number: int, frame: object) -> None:
        loop.add_callback_from_signal(loop.stop)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(path: str | Path) -> str:
    from gsdyn.diagnosis import Report

    return Report.load(path).page()


def _frame(there: bool) -> str:
    """The page around the report, or in place of one."""
    command = html.escape("gsdyn explore --report report.zarr")
    nothing = (
        f'<section class="card"><h2>No report yet</h2><p>Start with <code>{command}</code> to see one.</p></section>'
    )
    inside = '<iframe class="whole" src="/report/page" title="report"></iframe>' if there else nothing
    lead = "A saved starvation report: which features of the data a network learns, and which starve which."
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>gsdyn: report</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{look.STYLE}</style></head><body>"
        f'<header><div class="wrap"><h1>Report</h1><p>{lead}</p>{look.nav(PAGES, "/report")}</div></header>'
        f'<main class="{"" if there else "wrap"}">{inside}</main></body></html>'
    )


class _Page(RequestHandler):
    """A page that does not change."""

    def initialize(self, content: str) -> None:
        self.content = content

    def get(self) -> None:
        self.write(self.content)
