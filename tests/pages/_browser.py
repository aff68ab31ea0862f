"""Chromium without a window, driven through its DevTools protocol by the websocket client that comes with Bokeh."""

import asyncio
import base64
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

from tornado.websocket import websocket_connect

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0",
    "--no-first-run", "--disable-extensions", "--disable-background-networking", "--hide-scrollbars",
)  # fmt: skip
PATIENCE = 60.0


class Browser:
    """A browser with a fresh profile, until `close`."""

    def __init__(self, profile: Path):
        assert CHROMIUM is not None
        self._loop = asyncio.new_event_loop()
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        told = profile / "DevToolsActivePort"
        end = time.monotonic() + PATIENCE
        while not (told.exists() and told.read_text().count("\n")):
            assert time.monotonic() < end, "chromium did not start"
            assert self._process.poll() is None, "chromium ended at once"
            time.sleep(0.05)
        self._port = told.read_text().split()[0]

    def open(self, address: str, *, width: int = 1280, height: int = 900) -> "Page":
        """A page in a tab of its own, once Bokeh has drawn on it."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            target = json.load(answer)
        socket = self._loop.run_until_complete(_connected(target["webSocketDebuggerUrl"]))
        page = Page(self._loop, socket)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        page.call("Page.navigate", url=address)
        page.wait(DRAWN)
        return page

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)
        self._loop.close()


async def _connected(address: str):
    return await websocket_connect(address, max_message_size=1 << 28)


DRAWN = (
    "document.readyState === 'complete' && (typeof Bokeh === 'undefined' || "
    "(Bokeh.documents.length > 0 && Bokeh.documents.every(d => d.is_idle)))"
)


class Page:
    """One tab: what it asked for and complained about is kept in `requests` and `complaints`."""

    def __init__(self, loop, socket):
        self._loop, self._socket, self._count = loop, socket, 0
        self.requests, self.complaints = [], []

    def call(self, method: str, **given):
        """One command of the protocol, and its answer."""
        return self._loop.run_until_complete(asyncio.wait_for(self._call(method, given), PATIENCE))

    async def _call(self, method: str, given: dict):
        self._count += 1
        number = self._count
        await self._socket.write_message(json.dumps({"id": number, "method": method, "params": given}))
        while True:
            message = await self._socket.read_message()
            assert message is not None, "the tab is gone"
            told = json.loads(message)
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]
            self._note(told.get("method"), told.get("params", {}))

    def _note(self, event: str, given: dict) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])
        elif event == "Network.webSocketCreated":
            self.requests.append(given["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(given["exceptionDetails"])
        elif event == "Runtime.consoleAPICalled" and given["type"] in ("error", "assert"):
            self.complaints.append(given["args"])
        elif event == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.complaints.append(given["entry"])

    def evaluate(self, code: str):
        """The value of an expression in the page, or of the promise it is."""
        got = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in got, got["exceptionDetails"]
        return got["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until a condition holds in the page."""
        end = time.monotonic() + PATIENCE
        while not self.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < end, f"not within {PATIENCE:.0f} s: {condition}"
            time.sleep(0.03)

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def screenshot(self, path: Path) -> None:
        """The whole page as a picture."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def model(self, name: str) -> str:
        """JavaScript for the model of that name, in whichever document of the page has it."""
        return f"Bokeh.documents.map(d => d.get_model_by_name({name!r})).find(m => m)"

    def column(self, source: str, name: str) -> list:
        """A column of a data source, as numbers (null where there is none)."""
        return self.evaluate(f"Array.from({self.model(source)}.data[{name!r}])")

    def move(self, slider: str, value) -> None:
        """Move a slider, or choose from a menu, as a user's hand does to Bokeh's model."""
        self.evaluate(f"void ({self.model(slider)}.value = {json.dumps(value)})")
