"""The long run, by hand: `python -m tests.fuzz --inputs 10000`."""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor

os.environ.setdefault("OMP_NUM_THREADS", "1")


def main() -> None:
    """Run inputs of all kinds, and print a table and every cause of what must not be."""
    import torch

    from tests.fuzz.harness import REFUSED, Report, fuzz
    from tests.fuzz.seeds import KINDS

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--inputs", type=int, default=1000, help="of all kinds together")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--sound", action="store_true", help="undamaged: all is to be accepted")
    parser.add_argument("--processes", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    kinds = chosen.kinds.split(",")
    each = -(-chosen.inputs // len(kinds))
    report = Report()

    def run(kind: str) -> None:
        for outcome in fuzz(
            kind, each, seed=chosen.seed, first=chosen.first, is_damaged=not chosen.sound
        ):
            report.outcomes.append(outcome)
            if not outcome.is_good or (chosen.sound and outcome.what == REFUSED):
                sys.stderr.write(f"{kind} #{outcome.number} {outcome.name}: {outcome.what}\n")

    with ThreadPoolExecutor(chosen.processes) as pool:
        list(pool.map(run, kinds))
    report.outcomes.sort(key=lambda one: (kinds.index(one.kind), one.number))
    sys.stdout.write("\n".join(report.lines()) + "\n")
    sys.exit(bool(report.bad()))


if __name__ == "__main__":
    main()
