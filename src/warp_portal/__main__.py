"""`python -m warp_portal` is `warp`."""

import sys

from warp_portal.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
