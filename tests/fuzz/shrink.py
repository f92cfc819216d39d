"""Smaller plans that fail in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .plan import Plan


def shrink(plan: Plan, failure: str, failure_of: Callable[[Plan], str], *, most: int = 300) -> Plan:
    """Return the smallest plan found by simplifying one thing at a time while it fails alike."""
    kind, tries = failure.partition(":")[0], 0
    shrunk = True
    while shrunk and tries < most:
        shrunk = False
        for smaller in simpler(plan):
            tries += 1
            try:
                if failure_of(smaller).partition(":")[0] == kind:
                    plan, shrunk = smaller, True
                    break
            except ValueError:
                continue  # the options left contradict each other
    return plan


def simpler(plan: Plan) -> Iterator[Plan]:
    """Yield plans with one thing less."""
    usual = Plan(plan.layer, plan.sizes, {}, 1, 1)
    for name in plan.options:
        if name not in ("dtype", "output_size"):
            yield plan.replace(options={n: v for n, v in plan.options.items() if n != name})
    for name in ("layout", "lengths", "reset", "state", "targets", "context_of_steps", "ids", "threads"):
        if getattr(plan, name) != getattr(usual, name):
            yield plan.replace(**{name: getattr(usual, name)})
    for name in ("steps", "rows", "every"):
        value = getattr(plan, name)
        for less in dict.fromkeys((1, 2, value // 2, value - 1)):
            if 0 < less < value:
                yield plan.replace(**{name: less})
    D, H = plan.sizes
    for sizes in ((1, H), (D // 2, H), (D, 1), (D, 2), (D, H // 2), (D - 1, H), (D, H - 1)):
        if (
            all(size > 0 for size in sizes)
            and sizes != plan.sizes
            and not isinstance(plan.options.get("leak"), tuple)
        ):
            yield plan.replace(sizes=sizes)
    if plan.options.get("num_layers", 1) > 2:
        yield plan.replace(options={**plan.options, "num_layers": 2})
