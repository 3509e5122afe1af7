"""`python -m benchmarks.watch`: the watch's error rates as a section of Markdown on standard output."""

import argparse
import sys

from benchmarks.watch import section

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watch", description=__doc__)
    parser.add_argument("--mornings", type=int, default=1000, help="quiet mornings (default 1000)")
    parser.add_argument("--runs", type=int, default=200, help="runs of each change (default 200)")
    parser.add_argument("--processes", type=int, default=2, help="how many at once (default 2)")
    args = parser.parse_args()
    tell = lambda what: print(what, file=sys.stderr, flush=True)  # noqa: E731
    print(section.text(section.figures(args.mornings, args.runs, tell, args.processes)))
