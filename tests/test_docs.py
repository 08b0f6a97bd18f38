"""The pages of the site: every example is executed, and the site is built with warnings as errors."""

import doctest
import html
import json
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pytest
from chromium import CHROMIUM, audit, audited, browse

from thermo_theory import book

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: Pages whose Python is a session, and the least number of examples in it.
SESSIONS = {
    "own-estimator": 7,
    "glossary": 4,
}


#: A page of every kind, for what is measured on each.
KINDS = (
    "index", "learn", "start-physicist", "pictures", "interactive", "evidence", "results/digits", "book/README",
    "book/radius", "book/dictionary", "api/measure", "glossary", "cheatsheet", "genindex", "search", "gas",
)  # fmt: skip

#: Entries of the navigation, each with its table of contents.
ENTRIES = ("learn", "use", "evidence", "reference")


def blocks(page, language):
    """The code blocks of a page in a language."""
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("page", SESSIONS)
def test_examples(page, tmp_path, monkeypatch, one_thread):
    monkeypatch.chdir(tmp_path)
    text = "\n".join(blocks(page, "python"))
    test = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    assert len(test.examples) >= SESSIONS[page]
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    found = []
    runner.run(test, out=found.append)
    assert not runner.failures, "".join(found)


@pytest.mark.long  # tests/empirics/models/test_own.py has the same network in the fast battery
def test_the_network_of_the_how_to_is_trained(tmp_path, monkeypatch, one_thread):
    from tiny import tiny

    import empirics

    monkeypatch.chdir(tmp_path)
    (code,) = blocks("own-network", "python")
    (table,) = blocks("own-network", "toml")
    (tmp_path / "residual.py").write_text(code)
    experiment = tiny(('[model]\nname = "mlp"\nhidden = [5, 4]\n', table))
    runs = empirics.run(experiment, out="runs", progress=False)
    assert runs.dataset.attrs["weights"] == 61 * 12 + 12 * 12  # of 64 pixels three are empty in all digits


def test_every_page_is_in_a_table_of_contents():
    tables = "".join((DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("index", *ENTRIES))
    named = set(re.findall(r"^([\w/-]+)$", tables, flags=re.MULTILINE))
    assert {page.stem for ending in ("md", "ipynb") for page in DOCS.glob(f"*.{ending}")} - {"index"} <= named


class Links(HTMLParser):
    """Where a page's links and pictures point, and what can be pointed to on it."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.anchors = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors.add(found.get("id"))
        self.targets.update(filter(None, (found.get("href"), found.get("src"))))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built by what `make docs` says, with the book's pages as they are now."""
    if not all(find_spec(name) for name in ("sphinx", "myst_nb", "furo", "numpydoc", "latex2mathml")):
        pytest.skip("the extra docs is not installed (make docs installs it)")
    out = tmp_path_factory.mktemp("site")
    book.write(DOCS / "book")
    (line,) = re.findall(r"^\t\$\(BIN\)/python (-m sphinx .*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    words = shlex.split(line.replace("build/site", str(out)))
    assert "-W" in words
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.mark.long
def test_every_link_of_the_site_leads_somewhere(site):
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 100
    checked = 0
    for path, page in pages.items():
        for target in page.targets:
            if re.match(r"[a-z]+:|//", target):
                continue
            place, _, anchor = unquote(target).partition("#")
            there = (path.parent / place.split("?")[0]).resolve() if place else path
            assert there.exists(), f"{path.relative_to(site)} points to {target}"
            # Links back from a module's source name it where it is defined; its page has the public name, and opens.
            if anchor and there in pages and "_modules" not in path.parts:
                assert anchor in pages[there].anchors, f"{path.relative_to(site)} points to {target}"
            checked += 1
    assert checked > 1000


@pytest.mark.long
def test_the_site_loads_nothing_from_elsewhere(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r'<(script|link|img)[^>]+(src|href)="(https?:)?//', text), path


@pytest.mark.long
def test_formulas_and_symbols_are_there(site):
    assert (site / "book" / "radius-fixed-lr.html").read_text(encoding="utf-8").count("<math") >= 10
    glossary = (site / "glossary.html").read_text(encoding="utf-8")
    assert "gas constant, (d - 1)/2" in glossary
    assert (site / "gas.html").exists()
    assert "<canvas" in (site / "interactive.html").read_text(encoding="utf-8")


@pytest.mark.long
def test_the_book_is_a_tree_with_neighbours_and_says_what_is_measured(site):
    page = (site / "book" / "maxwell-from-symmetry.html").read_text(encoding="utf-8")
    tree = page[page.index('class="sidebar-tree"') : page.index("</aside>")]
    current = [
        re.sub("<.*?>", "", item) for item in re.findall(r'<li class="[^"]*current[^"]*"[^>]*>(<a.*?</a>)', tree)
    ]
    assert current[-2:] == ["Exact, without the stochastic differential equation", "Maxwell relation from symmetry"]
    around = re.findall(r'<a class="(?:next|prev)-page" href="([^"#]+)"', page)
    assert around == ["maxwell-from-symmetry-fixed-sphere.html", "scaling-symmetry.html"]
    assert "<strong>Measured by</strong>" in page
    assert "Maxwell relation (V3)" in page


# A page stands in a frame as wide as a small phone; code, tables and formulas may scroll by themselves.
FRAMES = """<!DOCTYPE html><html><meta charset="utf-8"><body>{frames}<pre id="found"></pre><script>
addEventListener("load", () => {{
  const found = [...document.querySelectorAll("iframe")].map(frame => {{
    const root = frame.contentDocument.documentElement;
    const parts = [...root.querySelectorAll("article *, main *")];
    const wide = parts.filter(part => !part.closest(".formula, pre, table, svg")
      && part.getBoundingClientRect().right > root.clientWidth + 1).map(part => part.tagName + "." + part.className);
    return [frame.src, root.scrollWidth - root.clientWidth, wide];
  }});
  document.getElementById("found").textContent = JSON.stringify(found);
}});
</script></body></html>"""


@pytest.mark.long
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt install chromium)")
def test_no_page_scrolls_sideways_on_a_phone(site, tmp_path):
    chosen = ("README", "chapter-processes", "dictionary", "radius", "momentum-balance", "vmf-entropy")
    pages = [page for page in site.rglob("*.html") if page.parent.name != "book" or page.stem in chosen]
    frames = "".join(
        f'<iframe style="width:320px;height:700px;border:0" src="{page.as_uri()}"></iframe>' for page in pages
    )
    (tmp_path / "frames.html").write_text(FRAMES.format(frames=frames))
    document, _ = browse(tmp_path / "frames.html", tmp_path, "--allow-file-access-from-files")
    found = json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', document, re.S).group(1)))
    assert len(found) > 40
    assert [one for one in found if one[1] or one[2]] == []


@pytest.mark.long
@pytest.mark.parametrize(("scheme", "width"), [pytest.param(*one, marks=audited) for one in ((0, 390), (1, 1366))])
def test_every_kind_of_page_can_be_used_by_everybody(site, tmp_path, scheme, width):
    """WCAG 2.2 AA by axe-core, dark on a phone and light on a desk; a page says nothing to the console."""
    files = [site / f"{kind}.html" for kind in KINDS]
    assert audit(files, tmp_path, width, f"--blink-settings=preferredColorScheme={scheme}") == ([], [])


@pytest.mark.long
def test_pages_are_light_described_and_named_once(site):
    titles, heavy, bare = [], {}, []
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        titles.append(re.search("<title>(.*?)</title>", text, re.S)[1])
        weight = len(re.sub(r"<svg\b.*?</svg>", "", text, flags=re.S).encode())
        if weight > 300_000:
            heavy[path.stem] = weight
        if path.relative_to(site).parts[0] not in ("_modules", "genindex.html", "search.html", "gas.html"):
            bare += [path.stem] * (len(re.findall(r'name="description"|property="og:title"|<h1', text)) != 3)
            bare += re.findall(r'<img (?![^>]*width=)[^>]*\.svg"[^>]*>', text)  # without a size the page jumps
    assert (heavy, bare) == ({}, [])
    assert len(titles) == len(set(titles)) > 100
