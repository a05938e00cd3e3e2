"""`python -m atlib.campaign`: the command line of atlib.campaign.running."""

import sys

from .running import main

if __name__ == "__main__":
    sys.exit(main())
