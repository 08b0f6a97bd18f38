"""``python -m thermo_theory.interactive FILE.html``: write the page."""

import sys
from pathlib import Path

from thermo_theory.interactive import page

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python -m thermo_theory.interactive FILE.html")
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
