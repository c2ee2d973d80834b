"""``python -m pyg_modules``, the same as the command ``pyg-modules``."""

import sys

from pyg_modules.cli import main

sys.exit(main())
