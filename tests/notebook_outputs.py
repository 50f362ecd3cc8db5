"""A plugin for nbval: keep what every cell put out, so that one run serves two gates.

Loaded into nbval's run with ``-p notebook_outputs --keep-outputs FILE``.
"""

from pathlib import Path

import nbformat
import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--keep-outputs", type=Path, help="where the executed notebook goes")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the notebook's code cells with the outputs of this run; a skipped cell has none."""
    cells = [
        nbformat.v4.new_code_cell(
            item.cell.source,
            id=item.cell.id,
            metadata=item.cell.metadata,
            execution_count=item.cell.execution_count,
            outputs=item.test_outputs or [],
        )
        for item in session.items
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), session.config.option.keep_outputs)
