"""The conditional random field against PyTorch: a batched forward algorithm over time, with autograd.

``python benchmarks/crf_cases.py`` runs them: answers verified first, then both in turn, medians of 15.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

import fastrnn as fr

#: T steps, N sequences, K tags.
SIZES = ((30, 32, 17), (100, 16, 9), (50, 64, 50), (20, 128, 5))


class Case(NamedTuple):
    """Two ways to compute the same, and a check that raises AssertionError if they differ."""

    name: str
    run_fastrnn: Callable[[], object]
    run_torch: Callable[[], object]
    check: Callable[[], None]


def crf_cases() -> list[Case]:
    """Return a case for each of `SIZES`: the mean loss of a ragged batch and all its gradients."""
    return [make_case(*size) for size in SIZES]


def make_case(T: int, N: int, K: int) -> Case:
    """Return one case of T steps, N sequences and K tags."""
    random = np.random.default_rng(0)
    crf = fr.CRF(K, seed=random)
    emissions = random.normal(size=(T, N, K)).astype(np.float32)
    targets = random.integers(0, K, size=(T, N))
    lengths = random.integers(T // 2, T + 1, size=N)
    lengths[0] = T
    leaves = [torch.tensor(emissions, requires_grad=True)]
    leaves += [
        torch.tensor(crf.parameters[name], requires_grad=True) for name in ("transitions", "start", "end")
    ]
    tags, ends = torch.tensor(targets), torch.tensor(lengths)
    inside = torch.arange(T)[:, None] < ends

    def run_fastrnn() -> tuple[np.ndarray, np.ndarray]:
        crf.gradients.zero()
        return crf.losses_and_gradients(emissions, targets, lengths, scale=1 / N)

    def run_torch() -> torch.Tensor:
        for leaf in leaves:
            leaf.grad = None
        losses = torch_losses(leaves[0], leaves[1], leaves[2], leaves[3], tags, inside)
        losses.mean().backward()
        return losses

    def check() -> None:
        losses, demissions = run_fastrnn()
        wanted = run_torch()
        np.testing.assert_allclose(losses, wanted.detach().numpy(), rtol=1e-4, atol=1e-4)
        gradients = (demissions, *crf.gradients.values())
        for gradient, leaf in zip(gradients, leaves, strict=True):
            np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-3, atol=2e-5)

    return Case(f"crf T={T} N={N} K={K}", run_fastrnn, run_torch, check)


def torch_losses(
    emissions: torch.Tensor,
    transitions: torch.Tensor,
    start: torch.Tensor,
    end: torch.Tensor,
    targets: torch.Tensor,
    inside: torch.Tensor,
) -> torch.Tensor:
    """Return the losses [N] as pytorch-crf computes them, with the score of the targets in one gather."""
    rows, last = torch.arange(targets.shape[1]), inside.sum(0) - 1
    steps = emissions.gather(2, targets[..., None])[..., 0]
    steps = torch.cat([steps[:1], steps[1:] + transitions[targets[:-1], targets[1:]]])
    score = start[targets[0]] + (steps * inside).sum(0) + end[targets[last, rows]]
    alpha = start + emissions[0]
    for t in range(1, len(emissions)):
        after = torch.logsumexp(alpha[:, :, None] + transitions + emissions[t, :, None, :], dim=1)
        alpha = torch.where(inside[t, :, None], after, alpha)
    return torch.logsumexp(alpha + end, dim=1) - score


def seconds(run: Callable[[], object]) -> float:
    """Time one run."""
    before = time.perf_counter()
    run()
    return time.perf_counter() - before


def main() -> None:
    """Verify and time every case on one thread."""
    fr.set_num_threads(1)
    torch.set_num_threads(1)
    for case in crf_cases():
        case.check()
        pairs = [(seconds(case.run_fastrnn), seconds(case.run_torch)) for _ in range(15)]
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"{case.name:22} {1e3 * ours:7.3f} ms, PyTorch {1e3 * theirs:7.2f} ms: {theirs / ours:5.1f} x")


if __name__ == "__main__":
    main()
