"""`python -m pipelines`: the command line from the current folder's own code, as the stages of dvc.yaml run it."""

import sys

from pipelines.cli import main

sys.exit(main())
