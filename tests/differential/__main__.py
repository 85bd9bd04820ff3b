"""Try thousands of random units on one systemd.

    python3 -m differential [--lower TREE] [--seed SEED] [--worlds N] [--runs N]

Of each kind of mismatch the first is made small and printed with its seed.
"""

from __future__ import annotations

import argparse
from collections import Counter

from differential import records
from differential.trial import Trial
from differential.worlds import SEARCH_PATH, sane_world, world, world_with_search_path
from machine import Machine, machine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lower", default="/", help="the tree to boot")
    parser.add_argument("--seed", type=int, default=1, help="of the first world")
    parser.add_argument(
        "--worlds", type=int, default=5, help="how many are loaded, and as many with $SYSTEMD_UNIT_PATH set"
    )
    parser.add_argument("--runs", type=int, default=1, help="how many are run")
    parser.add_argument("--shrink", type=int, default=1, help="how many mismatches of each kind to make small")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    with_path = [f"--setenv=SYSTEMD_UNIT_PATH={SEARCH_PATH}"]
    for make, search_path, arguments in ((world, "", []), (world_with_search_path, SEARCH_PATH, with_path)):
        with machine(options.lower, arguments=arguments) as node:
            trial = Trial(node, search_path)
            for seed in range(options.seed, options.seed + options.worlds):
                result = trial.run(make(str(seed)))
                counts += result.counts
                for mismatch in result.mismatches:
                    kinds[mismatch.what] += 1
                    small = kinds[mismatch.what] <= options.shrink
                    report = trial.shrunk(make(str(seed)), mismatch) if small else mismatch
                    print(f"seed {seed}, {make.__name__}:", report, flush=True)
            trial.close()
    for seed in range(options.seed, options.seed + options.runs):
        with Machine(options.lower) as node:
            result = records.compare(node, sane_world(str(seed)))
        counts += result.counts
        for mismatch in result.mismatches:
            kinds[mismatch.what] += 1
            print(f"seed {seed}, run:", mismatch, flush=True)
    for what, count in sorted(counts.items()):
        print(f"{count:6} {what}")
    print(f"{sum(kinds.values())} mismatches")
    return 1 if kinds else 0


if __name__ == "__main__":
    raise SystemExit(main())
