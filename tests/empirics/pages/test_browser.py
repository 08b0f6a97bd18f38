"""From the command line to the page, read back in headless Chromium."""

import html
import json
import re

import pytest
from chromium import audit, audited, browse, needed
from tiny import TINY

from empirics import cli
from empirics.pages.words import typeset

CLAIMS = [f"v{number}" for number in range(12)]
BACKGROUND = ["diagnostics", "kinds", "radius", "entropy", "stationarity", "neighbours", "provenance", "sources"]
SECTIONS = ["verdicts", "claims", *BACKGROUND]
WIDTHS = (320, 390, 1280)

# Nine runs that settle within few steps, so that there is something to judge.
SETTLED = {
    "lr = [0.05, 0.1]": "lr = [0.1, 0.2, 0.4]",
    "weight_decay = [0.01, 0.02, 0.05]": "weight_decay = [0.1, 0.2, 0.4]",
    "burn_in = 30": "burn_in = 200",
    "steps = 160": "steps = 1600",
    "spacing = 4": "spacing = 40",
}

#: Numbers of a verdict's card, in their order.
SHOWN = ("theory", "measured", "margin", "margin_needed")

pytestmark = needed

# The page stands in a frame of each width; the frame's own document is read, as the page itself runs no scripts.
HARNESS = """<!DOCTYPE html><html><meta charset="utf-8"><body>{frames}<pre id="found"></pre><script>
addEventListener("load", () => {{
  const found = [...document.querySelectorAll("iframe")].map(frame => {{
    const page = frame.contentDocument, root = page.documentElement, closed = root.scrollHeight;
    const first = [...page.querySelectorAll("main *")].filter(part => part.getClientRects().length
      && part.getBoundingClientRect().top < 800).map(part => part.className.baseVal ?? part.className).join(" ");
    for (const details of page.querySelectorAll("details")) details.open = true;
    const wide = [...page.querySelectorAll("main *")].filter(part => !part.closest(".scroll, pre, svg, .formula")
      && part.getBoundingClientRect().right > root.clientWidth + 1).map(part => part.tagName + "." + part.className);
    return {{
      width: root.clientWidth, scroll: root.scrollWidth, wide, closed, first,
      sections: [...page.querySelectorAll("main > *")].filter(p => p.offsetHeight > 60).map(p => p.id),
      claims: [...page.querySelectorAll("details[id]:not(main > *)")].map(p => p.id),
      cards: [...page.querySelectorAll(".card")].map(part => [part.querySelector("h4, h5, h6").innerText,
        part.querySelector(".word").innerText.trim(), [...part.querySelectorAll("data")].map(one => +one.value)]),
      figures: [...page.querySelectorAll(".figures svg")].map(part => {{
        const box = part.getBoundingClientRect(), ink = part.getBBox();
        return [box.width, box.height, ink.width, ink.height];
      }}),
      formulas: [...page.querySelectorAll("math")].map(part => part.getBoundingClientRect().height),
      ink: page.defaultView.getComputedStyle(page.body).color,
      paper: page.defaultView.getComputedStyle(page.body).backgroundColor,
      loaded: page.defaultView.performance.getEntriesByType("resource").map(entry => entry.name),
    }};
  }});
  document.getElementById("found").textContent = JSON.stringify(found);
}});
</script></body></html>"""


def measured(page, folder, *options):
    """What the page looks like at each width."""
    source = html.escape(page.read_text(encoding="utf-8"), quote=True)
    frames = "".join(
        f'<iframe style="width:{width}px;height:800px;border:0" srcdoc="{source}"></iframe>' for width in WIDTHS
    )
    harness = folder / "harness.html"
    harness.write_text(HARNESS.format(frames=frames), encoding="utf-8")
    document, console = browse(harness, folder, *options)
    assert console == []
    found = re.search(r'<pre id="found">(.*?)</pre>', document, re.S)
    return json.loads(html.unescape(found.group(1)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def page(folder):
    """The page of a tiny run, made from the command line."""
    text = TINY
    for old, new in SETTLED.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "tiny.toml").write_text(text)
    assert cli.main(["run", str(folder / "tiny.toml"), "--out", str(folder / "runs")]) == 0
    assert cli.main(["report", str(folder / "runs"), "--out", str(folder / "page.html")]) == 0
    return folder / "page.html"


@pytest.fixture(scope="module")
def seen(page, folder):
    return measured(page, folder)


def test_the_browser_shows_every_section_and_claim(seen):
    for frame in seen:
        assert frame["sections"] == SECTIONS
        assert sorted(frame["claims"]) == sorted([*CLAIMS, "not-measured"])


def test_the_first_screen_answers_and_the_rest_is_folded(seen):
    wide = seen[WIDTHS.index(1280)]
    assert wide["closed"] < 4000
    assert {"tiles", "figures", "forest", "strip", "axis"} <= set(wide["first"].split())


def test_the_page_never_scrolls_sideways(seen):
    assert [(frame["width"], frame["scroll"], frame["wide"]) for frame in seen] == [(w, w, []) for w in WIDTHS]


def test_a_page_that_scrolls_sideways_would_be_seen(page, folder):
    wide = folder / "wide.html"
    text = page.read_text(encoding="utf-8")
    wide.write_text(text.replace("</main>", '<p style="width:900px">wide</p></main>'), encoding="utf-8")
    assert [frame["scroll"] > frame["width"] for frame in measured(wide, folder)] == [True, True, False]


def test_a_page_of_two_folders_never_scrolls_sideways(page, folder):
    runs = str(folder / "runs")
    assert cli.main(["report", runs, runs, "--out", str(folder / "two.html")]) == 0
    frames = measured(folder / "two.html", folder)
    assert [(frame["scroll"], frame["wide"]) for frame in frames] == [(width, []) for width in WIDTHS]
    wanted = ["comparison", "folder-1", "folder-2", "sources"]
    assert [frame["sections"] for frame in frames] == [wanted] * len(WIDTHS)


def test_verdicts_in_the_browser_are_those_of_compare(seen, folder, page, capsys):
    assert cli.main(["compare", str(folder / "runs"), "--format", "json"]) == 0
    verdicts = verdicts_of(json.loads(capsys.readouterr().out))
    wanted = [(typeset(v["title"]), v["verdict"], [v[n] for n in SHOWN if v[n] is not None]) for v in verdicts]
    for frame in seen:
        for (title, word, numbers), card in zip(sorted(wanted), sorted(frame["cards"]), strict=True):
            assert card == [title, word, pytest.approx(numbers)]


def verdicts_of(made):
    return made if isinstance(made, list) else made["verdicts"]


def test_every_figure_and_formula_is_drawn(seen):
    for frame in seen:
        # The p-V plane; V1 to V3 show one, three and one, V7 and V8 one each, V9 none without a defect; norm and
        # entropy two, stationarity three, neighbours two.
        assert len(frame["figures"]) == 17
        for width, height, ink_width, ink_height in frame["figures"]:
            assert 250 < width <= frame["width"]
            assert 0.6 < height / width < 1
            assert ink_width > 150
            assert ink_height > 100
        assert len(frame["formulas"]) >= 4
        assert min(frame["formulas"]) > 15


def test_nothing_is_loaded(seen):
    assert [frame["loaded"] for frame in seen] == [[]] * len(WIDTHS)


def test_dark_is_dark(seen, page, folder):
    dark = measured(page, folder, "--blink-settings=preferredColorScheme=0")
    for light, other in zip(seen, dark, strict=True):
        assert brightness(light["paper"]) > 0.9 > 0.3 > brightness(light["ink"])
        assert brightness(other["paper"]) < 0.2 < 0.8 < brightness(other["ink"])


@pytest.mark.parametrize("width", [pytest.param(width, marks=audited) for width in WIDTHS[1:]])
def test_everybody_can_use_the_page(page, folder, width):
    opened = folder / "opened.html"
    opened.write_text(page.read_text(encoding="utf-8").replace("<details", "<details open"), encoding="utf-8")
    assert audit([page, opened], folder, width, f"--blink-settings=preferredColorScheme={width > 400:d}") == ([], [])


def brightness(colour):
    """Mean of the channels of an rgb(...) colour, 0 to 1."""
    channels = [float(part) for part in re.findall(r"[\d.]+", colour)[:3]]
    return sum(channels) / 765
