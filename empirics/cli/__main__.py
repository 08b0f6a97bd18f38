"""``python -m empirics.cli``: the command line."""

import sys

from empirics.cli import main

sys.exit(main())
