"""Names that an experiment file may use, and where their code is; listing the names imports none of it."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any


def nearest(name: str, names: "list[str] | tuple[str, ...]") -> str:
    """``"; did you mean 'x'?"`` for the known name closest to a wrong one, or an empty text.

    >>> nearest("lerning_rate", ["learning_rate", "steps"])
    "; did you mean 'learning_rate'?"
    >>> nearest("zzz", ["steps"])
    ''
    """
    close = difflib.get_close_matches(name, names, n=1) or difflib.get_close_matches(name.lower(), names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


@dataclass(frozen=True)
class Registry:
    """Named implementations of one thing, each as ``{"name": "module:attribute"}``.

    >>> Registry("number", {"pi": "math:pi"}).get("pi")
    3.141592653589793
    """

    what: str
    places: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """The known names, sorted."""
        return tuple(sorted(self.places))

    def get(self, name: str) -> Any:
        """Import and return what `name` stands for.

        Raises
        ------
        LookupError
            If the name is not known; the message lists those that are.
        """
        if name not in self.places:
            known = ", ".join(self.names)
            raise LookupError(f"no {self.what} {name!r}{nearest(name, self.names)} (known: {known})")
        module, attribute = self.places[name].split(":")
        return getattr(import_module(module), attribute)
