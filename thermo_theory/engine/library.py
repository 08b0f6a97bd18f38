"""Where derivations are found: modules, by name, that register theirs when they are imported."""

from __future__ import annotations

from importlib import import_module

__all__ = ["add_module", "load"]

_modules: dict[str, None] = {}


def add_module(name: str) -> None:
    """Name a module whose import registers derivations; it is imported when a derivation is first asked for."""
    _modules[name] = None


def load() -> None:
    """Import what was named."""
    for name in tuple(_modules):
        import_module(name)
