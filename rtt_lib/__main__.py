"""`python -m rtt_lib` is the `rtt` command."""

import sys

from rtt_lib.run.cli import main

sys.exit(main())
