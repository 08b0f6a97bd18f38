"""A headless Chromium, where there is one, for tests of pages."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

#: For tests that need it.
needed = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt install chromium)"),
]


#: Rules of accessibility, where `make check-site` has put them.
AXE = Path(__file__).parents[3] / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"

#: For tests that measure with them.
audited = [*needed, pytest.mark.skipif(not AXE.exists(), reason="no axe-core (make check-site installs it)")]

# A page after the other stands in a frame; the rules are those of WCAG 2.2 AA, and what axe-core thinks good practice.
AUDIT = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><body><pre id="found"></pre><script>
const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], found = [];
async function audit(address) {{
  const frame = document.createElement("iframe");
  Object.assign(frame, {{src: address, style: "width:{width}px;height:800px;border:0"}});
  await new Promise(go => {{ frame.onload = go; document.body.append(frame); }});
  const page = frame.contentDocument, rules = page.createElement("script");
  await new Promise(go => {{ rules.onload = go; rules.src = "{rules}"; page.head.append(rules); }});
  const {{violations}} = await frame.contentWindow.axe.run(page, {{runOnly: tags, resultTypes: ["violations"]}});
  for (const one of violations) found.push([address, one.id, one.nodes.length, one.nodes[0].target.join(" ")]);
  frame.remove();
}}
(async () => {{
  for (const address of {addresses}) await audit(address);
  document.getElementById("found").textContent = JSON.stringify(found);
}})();
</script></body></html>"""


def audit(files, folder, width, *options):
    """Return what keeps people from using pages (page, rule, how often, where first), and what the console said."""
    addresses = json.dumps([file.as_uri() for file in files])
    harness = folder / "audit.html"
    harness.write_text(AUDIT.format(width=width, rules=AXE.as_uri(), addresses=addresses), encoding="utf-8")
    patience = ("--allow-file-access-from-files", "--virtual-time-budget=600000")
    document, console = browse(harness, folder, *patience, *options, timeout=1200)
    found = re.search(r'<pre id="found">(.+?)</pre>', document, re.S)
    return json.loads(html.unescape(found[1])), console


def browse(file, folder, *options, timeout=60):
    """Open a file; return the document after its scripts have run, and what the console said."""
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--enable-logging=stderr",
        "--hide-scrollbars", f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=5000", "--dump-dom", *options, file.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
