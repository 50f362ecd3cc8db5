"""What all widgets share: the library, if it is there, and what is shown if it is not."""

from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Note:
    """What is shown in place of a widget."""

    text: str

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text


def load_ipywidgets() -> ModuleType | None:
    """Give ipywidgets, or None if it is not installed."""
    try:
        import ipywidgets
    except ImportError:
        return None
    return ipywidgets
