"""How derivations are shown: as text, LaTeX, Markdown, and in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from thermo_theory.engine.printing import WIDTH, latex_words, to_latex, to_text, wrapped
from thermo_theory.engine.registry import Registered

__all__ = ["Rendered", "html_table", "text_table"]


class Rendered(Registered):
    """The faces of a derivation; `Derivation` has the contents."""

    if TYPE_CHECKING:
        steps: tuple[Any, ...]

        @property
        def kind(self) -> str:  # noqa: D102
            ...

        @property
        def assumptions(self) -> tuple[str, ...]:  # noqa: D102
            ...

    def _brackets(self) -> str:
        where = [str(self.protocol)] if self.protocol is not None else []
        if self.assumptions:
            where.append("assumes " + ", ".join(self.assumptions))
        return f"[{'; '.join([*where, f'{len(self.steps)} steps'])}]"

    def __repr__(self) -> str:
        claim, where = to_text(self.steps[-1].equation), self._brackets()
        fits = "\n" not in claim and len(claim) + len(where) <= WIDTH - 4
        return f"{claim}    {where}" if fits else f"{claim}\n{wrapped(where)}"

    def __str__(self) -> str:
        head = [f"{self.title}: {self.summary}", self._brackets(), f"Kind: {self.kind}. Source: {self.source}."]
        lines = [*map(wrapped, head), "", *(f"{step}\n" for step in self.steps)]
        lines += ["Every step is checked by `verify()` in explicit examples that do not use these formulas:"]
        lines += [wrapped(f"- {maker.__doc__}", "  ") for maker in self.worlds]
        return "\n".join(lines)

    def to_latex(self) -> str:
        """Return the derivation as a LaTeX document that compiles as it stands (it uses amsmath and amssymb)."""
        lines = [
            r"\documentclass{article}",
            r"\usepackage{amsmath,amssymb}",
            r"\begin{document}",
            rf"\section*{{{latex_words(self.title)}}}",
            rf"{latex_words(self.summary)}.",
            rf"Assumes: {latex_words(', '.join(self.assumptions) or 'nothing')}.",
            rf"Kind: {self.kind}. Source: {latex_words(self.source)}.",
        ]
        for step in self.steps:
            words = latex_words(step.done + (f": {step.because}" if step.because else ""))
            lines.append(rf"\begin{{equation}}\tag{{{step.number}}} {to_latex(step.equation)} \end{{equation}}")
            lines.append(rf"\noindent\textit{{{words}.}}")
        return "\n".join([*lines, r"\end{document}", ""])

    def to_markdown(self) -> str:
        """Return the derivation as Markdown with LaTeX formulas."""
        lines = [f"### {self.title}", "", f"{self.summary}.", "", f"$$ {to_latex(self.steps[-1].equation)} $$", ""]
        lines += [
            f"*Assumes:* {', '.join(self.assumptions) or 'nothing'}. *Kind:* {self.kind}. *Source:* {self.source}."
        ]
        for step in self.steps:
            words = step.done + (f": {step.because}" if step.because else "")
            lines += ["", f"({step.number}) {words}", "", f"$$ {to_latex(step.equation)} $$"]
        return "\n".join(lines) + "\n"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {to_latex(self.steps[-1].equation)}\\qquad\\text{{{latex_words(self._brackets())}}}$"


def text_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align the cells of a table in columns."""
    cells = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table for a notebook; its cells are HTML."""
    body = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in rows)
    return f"<table><tr><th>{'</th><th>'.join(head)}</th></tr>{body}</table>"
