"""Run a notebook from its first cell to its last, show what it prints, save the executed copy.

``python tools/run_notebook.py NOTEBOOK --save COPY``, with the Python whose packages the notebook
needs: its kernel is the same Python. The copy is saved whatever happens: an error, a dead kernel,
Ctrl-C. Exit code: 0, 1 after an error, 130 after Ctrl-C.
"""

import argparse
import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
TRACEBACK_LINES = 20


class Console:
    """Write what a kernel prints: to a terminal as it comes, to a log without the animation.

    A progress bar redraws its line after a carriage return. A terminal shows that. In a log, the
    bar's first state, one every few seconds and the last are worth a line each.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        animated: bool | None = None,
        seconds_between: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.stream = stream
        self.animated = stream.isatty() if animated is None else animated
        self.seconds_between = seconds_between
        self.clock = clock
        self._begin_line()

    def write(self, text: str) -> None:
        """Show a piece of output, which need not end where a line ends."""
        if self.animated:
            self.stream.write(text)
        for part in re.split(r"(\r?\n|\r)", ANSI.sub("", text)):
            if part in ("\n", "\r\n"):
                self._end_line()
            elif part == "\r":
                self.redrawn, self.line = True, ""
            else:
                self.line += part
        is_due = self.clock() - self.logged_at >= self.seconds_between
        if self.redrawn and is_due and self._has_news():
            self._log()
        self.stream.flush()

    def say(self, text: str) -> None:
        """Show something of our own, beginning on a new line."""
        self.write(f"\n{text}\n" if self.line else f"{text}\n")

    def _begin_line(self) -> None:
        self.line = ""  # as a terminal would show it now
        self.redrawn = False  # whether it is a progress bar
        self.logged = ""  # the state of the bar that went into the log
        self.logged_at = -float("inf")

    def _end_line(self) -> None:
        if not self.redrawn or self._has_news():
            self._log()
        self._begin_line()

    def _has_news(self) -> bool:
        return bool(self.line.strip()) and self.line != self.logged

    def _log(self) -> None:
        if not self.animated:
            self.stream.write(f"{self.line.rstrip()}\n")
        self.logged, self.logged_at = self.line, self.clock()


class InterruptedRunError(Exception):
    """Someone asked the run to end."""


class Runner(NotebookClient):
    """An nbclient that shows what it does, and that loses nothing when it is interrupted."""

    def __init__(self, nb: NotebookNode, *, folder: Path, console: Console):
        super().__init__(
            nb,
            timeout=None,
            startup_timeout=120,  # the first start on a machine reads thousands of files
            coalesce_streams=True,  # of a progress bar the copy keeps the last state
            store_widget_state=False,
            resources={"metadata": {"path": str(folder)}},
            on_notebook_start=self._catch_signals,
        )
        self.console = console
        self.headings = nearest_headings(nb)
        self.announced = ""
        self.interrupted = False
        self.begin = time.monotonic()

    def create_kernel_manager(self) -> AsyncKernelManager:
        """Start this very Python, whatever kernels are registered on the machine."""
        only_ours = KernelSpecManager(kernel_dirs=[])
        self.km = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=only_ours)
        if self.km.has_trait("transport_encryption"):
            self.km.transport_encryption = "auto"  # or new kernels warn that they have none
        return self.km

    async def async_execute_cell(
        self, cell: NotebookNode, cell_index: int, *args: object, **settings: object
    ) -> NotebookNode:
        """Execute a cell; where a new section begins, say so first."""
        if self.interrupted:  # between two cells, or in one that swallowed it
            raise InterruptedRunError
        heading = self.headings[cell_index]
        if cell.cell_type == "code" and heading != self.announced:
            minutes, seconds = divmod(int(time.monotonic() - self.begin), 60)
            share = f"{cell_index + 1}/{len(self.nb.cells)}"
            self.console.say(f"\n[{minutes}:{seconds:02d}, cell {share}] {heading}")
            self.announced = heading
        return await super().async_execute_cell(cell, cell_index, *args, **settings)

    def output(
        self, outs: list, msg: dict, display_id: str | None, cell_index: int
    ) -> NotebookNode | None:
        """Store an output, and show it."""
        content = msg["content"]
        if msg["msg_type"] == "stream":
            self.console.write(content["text"])
        elif msg["msg_type"] in ("display_data", "execute_result"):
            text = readable(content["data"])
            if text:
                self.console.say(text)
        return super().output(outs, msg, display_id, cell_index)

    def _catch_signals(self, notebook: NotebookNode) -> None:
        """Replace nbclient's handlers, which would kill the kernel with what it holds."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            if os.name == "nt":
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._interrupt))
            else:
                loop.add_signal_handler(number, self._interrupt)

    def _interrupt(self) -> None:
        """Interrupt the running cell; when asked again, end the kernel."""
        again, self.interrupted = self.interrupted, True
        stop = self.km.shutdown_kernel(now=True) if again else self.km.interrupt_kernel()
        self._stopping = asyncio.ensure_future(stop)  # kept, or it may be collected too early


def nearest_headings(nb: NotebookNode) -> list[str]:
    """Name for every cell the nearest Markdown heading at or above it ("" where there is none)."""
    heading, result = "", []
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"^(```|~~~).*?^\1", "", cell.source, flags=re.MULTILINE | re.DOTALL)
            heading = (re.findall(r"^#+\s+(.*)$", prose, re.MULTILINE) or [heading])[-1]
        result.append(heading)
    return result


def readable(data: dict[str, str]) -> str:
    """Choose what a terminal shows of a displayed object ("" where there is nothing to read)."""
    if "text/markdown" in data:
        return data["text/markdown"]
    if any(kind.startswith("image/") for kind in data):
        return "[figure]"
    plain = data.get("text/plain", "")
    return "" if re.fullmatch(r"<.*>", plain, re.DOTALL) else plain  # such as <IPython... object>


def forget_outputs(nb: NotebookNode) -> None:
    """Remove the outputs of an earlier run, so that the copy of a partial run has only its own."""
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nb.metadata.pop("widgets", None)


def save(nb: NotebookNode, path: Path) -> None:
    """Write a notebook so that there is never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        partial.write_text(nbformat.writes(nb) + "\n", encoding="utf-8", newline="\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def traceback_tail(nb: NotebookNode) -> str:
    """Return the end of the last traceback in a notebook."""
    outputs = [output for cell in nb.cells for output in cell.get("outputs", [])]
    tracebacks = [output.traceback for output in outputs if output.output_type == "error"]
    lines = "\n".join(tracebacks[-1]).splitlines() if tracebacks else []
    return "\n".join(lines[-TRACEBACK_LINES:])


def attempt(runner: Runner) -> tuple[int, str]:
    """Execute a notebook; return an exit code, and for failures what to tell."""
    # zmq needs a selector loop, which is not the default on Windows
    factory = asyncio.SelectorEventLoop if os.name == "nt" else None
    try:
        with asyncio.Runner(loop_factory=factory) as loop:
            loop.run(runner.async_execute())
    except CellExecutionError as error:
        if not runner.interrupted:
            return 1, f"{error.ename}: {error.evalue}\n\n{traceback_tail(runner.nb)}".rstrip()
    except (InterruptedRunError, KeyboardInterrupt):
        runner.interrupted = True
    except RuntimeError as error:  # nbclient's DeadKernelError is one
        if not runner.interrupted:
            return 1, f"The notebook's Python died ({error}). Most often the memory was too small."
    return (130 if runner.interrupted else 0), ""


def run(path: Path, saved: Path, console: Console) -> int:
    """Run a notebook, save the executed copy, and return the exit code."""
    nb = nbformat.read(path, as_version=4)
    forget_outputs(nb)
    runner = Runner(nb, folder=path.resolve().parent, console=console)
    try:
        code, message = attempt(runner)
    finally:
        save(nb, saved)
    if message:
        console.say(f"\n{message if console.animated else ANSI.sub('', message)}")
    if code:
        console.say(f"\nThe run up to here is in {saved}")
    return code


def main() -> int:
    """Read the command line and run the notebook."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--save", type=Path, required=True, help="where the executed copy goes")
    arguments = parser.parse_args()
    sys.stdout.reconfigure(errors="replace")  # consoles that cannot show every character
    try:
        return run(arguments.notebook, arguments.save.absolute(), Console(sys.stdout))
    except (OSError, nbformat.reader.NotJSONError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
