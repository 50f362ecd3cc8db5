"""A real browser for tests: JupyterLab with a kernel behind it, driven over Chromium's protocol."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import websocket  # comes with Jupyter's server

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
SECONDS = 180  # of patience; a cold JupyterLab on a busy machine takes one of them


def wait_for(found: Callable[[], Any], what: str, *, seconds: float = SECONDS) -> Any:
    """Ask again and again, until the answer is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(0.2)
    raise TimeoutError(f"no {what} after {seconds:g} s")


class Page:
    """One page of the browser."""

    def __init__(self, address: str) -> None:
        self.socket = websocket.create_connection(address, timeout=SECONDS, suppress_origin=True)
        self.numbers = count(1)

    def close(self) -> None:
        """Let go of the page."""
        self.socket.close()

    def send(self, method: str, **parameters: object) -> dict:
        """Call a method of the protocol and give its result."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:  # events come in between
            answer = json.loads(self.socket.recv())
            if answer.get("id") == number:
                return answer["result"]

    def run(self, expression: str) -> Any:
        """Evaluate JavaScript; a promise is waited for."""
        options = {"returnByValue": True, "awaitPromise": True}
        answer = self.send("Runtime.evaluate", expression=expression, **options)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Press and release a key."""
        for kind in ("rawKeyDown", "keyUp"):
            names = {"key": key, "code": key, "windowsVirtualKeyCode": code}
            self.send("Input.dispatchKeyEvent", type=kind, **names)


@contextmanager
def ended(command: list[str], **options: Any) -> Iterator[subprocess.Popen]:
    """Start a process, and end it afterwards."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def read_if_there(path: Path) -> str:
    """Read a file that another process is about to write."""
    with suppress(OSError):
        return path.read_text()
    return ""


@contextmanager
def open_in_lab(notebook: Path, folder: Path) -> Iterator[Page]:
    """Open a notebook in JupyterLab, in a headless browser.

    Args:
        notebook: the file; its folder is what JupyterLab sees.
        folder: for everything that both programs write.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER_")}
    env |= {f"JUPYTER_{name}_DIR": str(folder / name) for name in ("RUNTIME", "CONFIG", "DATA")}
    lab = [sys.executable, "-m", "jupyterlab", "--no-browser", "--expose-app-in-browser"]
    lab += ["--allow-root", "--ServerApp.port=0", f"--ServerApp.root_dir={notebook.parent}"]
    log = (folder / "lab.log").open("w")
    chromium = [CHROMIUM, *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={folder / 'home'}"]
    chromium += ["--window-size=1400,9000", "about:blank"]  # all cells are in view
    with log, ended(lab, stderr=log, env=env), ended(chromium, stderr=subprocess.DEVNULL):
        servers = folder / "RUNTIME"
        found = wait_for(lambda: list(servers.glob("jpserver-*.json")), "server")
        server = json.loads(wait_for(lambda: read_if_there(found[0]), "server's address"))
        port_file = folder / "home" / "DevToolsActivePort"
        port = wait_for(lambda: read_if_there(port_file), "browser").split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            address = next(p for p in json.load(answer) if p["type"] == "page")
        with closing(Page(address["webSocketDebuggerUrl"])) as page:
            where = f"{server['url']}lab/tree/{notebook.name}?token={server['token']}&reset"
            page.send("Page.navigate", url=where)
            yield page
