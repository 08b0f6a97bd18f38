"""Sphinx configuration of the documentation site: `make docs` builds it into build/site, and warnings are errors."""

import os
import sys
from importlib.metadata import version as installed
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "thermo-theory"
author = "The thermo-theory authors"
project_copyright = author
release = version = installed("thermo-theory")

extensions = [
    "myst_nb",  # Markdown, and notebooks
    "sphinx.ext.autodoc",
    "numpydoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinxext.opengraph",
    "mathml",  # _ext/
    "generated",  # _ext/
    "explorers",  # _ext/
    "form",  # _ext/
]
exclude_patterns = ["_ext", "_static", "results/words", "**/.*"]
root_doc = "index"

# Markdown as code hosts read it: dollars are mathematics, headings are targets, links to pages are relative paths.
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4
myst_dmath_double_inline = True
suppress_warnings = ["myst.header"]

nb_execution_mode = "off"  # notebooks keep their outputs; a test executes them and compares
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
# Where the site is put, if that is known: addresses in cards, and the one address of a page that has several.
html_baseurl = ogp_site_url = os.environ.get("SITE_URL", "")
ogp_social_cards = {"enable": False}

# Every reference has to be found, but for the types of other packages in signatures: their pages are not ours.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r".*")]

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
default_role = "py:obj"  # `name` in a docstring is a link where it can be one
numpydoc_xref_param_type = False

html_theme = "furo"
html_title = "thermo-theory"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_favicon = "_static/favicon.svg"
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
html_domain_indices = False
