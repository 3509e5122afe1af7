"""`python -m benchmarks.watch [--quick]`: the watch's error rates as a section of Markdown on standard output."""

import argparse

from benchmarks.watch import section

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mornings", type=int, default=1000, help="quiet mornings (default 1000)")
    parser.add_argument("--runs", type=int, default=200, help="runs of each change (default 200)")
    args = parser.parse_args()
    print(section.drift(args.mornings, args.runs))
