"""The differential fuzzer: random layers and batches, kernels against the reference and against themselves.

``python -m tests.fuzz.layers --count 20000`` runs it. A difference is printed with the line that repeats it;
``--plan`` takes that line.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator

from .checks import check
from .plan import LAYERS, Plan, draw_plan
from .shrink import shrink
from .subject import Difference


def failure_of(plan: Plan) -> str:
    """Return what does not hold for a plan, in one line; "" if all does."""
    failure = ""
    try:
        check(plan)
    except Difference as difference:
        failure = str(difference)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        failure = f"{type(error).__name__}: {error} ({where.filename.rpartition('/')[2]}:{where.lineno})"
    return failure


def run(count: int, seed: int, start: int = 0) -> Iterator[tuple[int, Plan, str]]:
    """Check random plans; yield number, plan and failure ("" for none) of each."""
    for index in range(start, start + count):
        plan = draw_plan(seed, index)
        yield index, plan, failure_of(plan)


def report(index: int, seed: int, plan: Plan, failure: str) -> str:
    """Describe a failure: what, how to repeat it, and the smallest plan that still fails alike."""
    small = shrink(plan, failure, failure_of)
    return "\n".join(
        [
            f"{failure}",
            f"  layer     {plan.make()!r}, T={plan.steps}, N={plan.rows}",
            f"  repeat    python -m tests.fuzz.layers --seed {seed} --start {index} --count 1",
            f"  smallest  python -m tests.fuzz.layers --plan '{small.line()}'",
            f"            {failure_of(small)}",
        ]
    )


def main() -> int:
    """Run the program; return 1 if there was a difference."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="number of layers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="index of the first layer")
    parser.add_argument("--plan", help="check this plan only")
    parser.add_argument("--most", type=int, default=10, help="stop after so many failures")
    settings = parser.parse_args()
    warnings.simplefilter("error")
    if settings.plan:
        plan = Plan.of(settings.plan)
        failure = failure_of(plan)
        print(failure or "holds", f"({plan.make()!r}, T={plan.steps}, N={plan.rows})")
        return bool(failure)
    failures, began, used = 0, time.monotonic(), Counter[str]()
    for index, plan, failure in run(settings.count, settings.seed, settings.start):
        used.update([plan.layer, *plan.options])
        if failure:
            failures += 1
            print(report(index, settings.seed, plan, failure), flush=True)
            if failures >= settings.most:
                break
        if (index + 1) % 1000 == 0:
            print(f"{index + 1} layers, {time.monotonic() - began:.0f} s, {failures} failures", flush=True)
    print(", ".join(f"{name} {times}" for name, times in used.most_common()))
    print(f"{sum(used[name] for name in LAYERS)} layers, {failures} failures")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
