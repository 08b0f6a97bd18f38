"""Mathematics as MathML, made at build: the pages need neither scripts nor a network to show a formula."""

from typing import Any

from docutils.nodes import Element, SkipNode
from sphinx.application import Sphinx

from empirics.pages.mathml import mathml

#: Letters of LaTeX from which on a formula in a line may be wider than a phone, and scrolls.
WIDE = 90


def _inline(writer: Any, node: Element) -> None:
    formula = mathml(node.astext())
    writer.body.append(f'<span class="formula">{formula}</span>' if len(node.astext()) > WIDE else formula)
    raise SkipNode


def _block(writer: Any, node: Element) -> None:
    writer.body.append(f'<div class="formula">{mathml(node.astext(), "block")}</div>\n')
    raise SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the renderer to Sphinx and choose it."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
