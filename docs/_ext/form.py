"""What docutils leaves out of a page: sizes of pictures, cells that hold sentences, tables without heads."""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

#: Letters from which on a cell of a table is a sentence, and is not squeezed into the width of a word.
SENTENCE = 40
#: Pixels of a point.
PIXELS = 4 / 3


def sentences(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """Mark the cells that hold sentences; keep an estimate and its error on one line."""
    for cell in doctree.findall(nodes.entry):
        for text in list(cell.findall(nodes.Text)):
            text.parent.replace(text, nodes.Text(text.replace(" ± ", "\u00a0±\u00a0")))
        if len(cell.astext()) > SENTENCE:
            cell["classes"].append("sentence")


def finish(app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Give pictures their size, so that the page does not jump when they arrive; take empty heads from tables."""
    pictures = {target: Path(app.srcdir, source) for source, (_, target) in app.env.images.items()}

    def sized(found: re.Match[str]) -> str:
        (head,) = re.findall(r"<svg[^>]*>", pictures[found[2]].read_text("utf-8"))[:1]
        sizes = re.findall(r' (width|height)="([\d.]+)pt"', head)
        return found[1] + "".join(f' {key}="{float(size) * PIXELS:.0f}"' for key, size in sizes) + " />"

    body = re.sub(r'(<img [^>]*src="[^"]*_images/([^"]+\.svg)"[^>]*?) />', sized, context.get("body", ""))
    body = re.sub(r"<thead>\s*<tr[^>]*>(?:\s*<th[^>]*><p></p></th>)+\s*</tr>\s*</thead>", "", body)
    # In signatures every word is a span already: a sixth of the API's pages.
    body = re.sub(r'(<span class="\w+">)<span class="pre">([^<]*)</span></span>', r"\1\2</span>", body)
    context["body"] = re.sub(r"<th[^>]*><p></p></th>", "<td></td>", body)
    if name.startswith("_modules/"):
        context["title"] = f"Source of {context['title']}"  # a page of the API has the module's name


def setup(app: Sphinx) -> dict[str, bool]:
    """Register them."""
    app.connect("doctree-resolved", sentences)
    app.connect("html-page-context", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
