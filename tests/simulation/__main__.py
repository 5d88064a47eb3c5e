"""``python -m tests.simulation``: what ``scripts/simulate`` calls."""

import sys

from tests.simulation.tool import main

sys.exit(main())
