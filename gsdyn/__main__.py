"""`python -m gsdyn` is the command `gsdyn`."""

import sys

from gsdyn.cli import main

sys.exit(main())
