"""Building blocks of the variants: layer normalisation, affine maps by gate, and the values of a step."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np

from fastrnn.reference._arrays import Floats
from fastrnn.reference.variant_settings import Variant

EPSILON = 1e-5
#: An array [..., H] for each gate, by its letter.
Gates: TypeAlias = dict[str, Floats]
#: Weights by name.
NamedWeights: TypeAlias = Mapping[str, Floats]


def normalise(v: Floats) -> tuple[Floats, Floats]:
    """Return (v - mean(v)) / sqrt(var(v) + 1e-5) over the last axis, and the root (Ba et al. 2016)."""
    centred = v - v.mean(axis=-1, keepdims=True)
    root: Floats = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + EPSILON)
    return centred / root, root


def normalise_backward(x: Floats, root: Floats, dx: Floats) -> Floats:
    """Compute the gradient of v from the output of `normalise` and dx: the parts along 1 and x vanish."""
    along_ones = dx.mean(axis=-1, keepdims=True)
    along_x = (dx * x).mean(axis=-1, keepdims=True)
    result: Floats = (dx - along_ones - x * along_x) / root
    return result


def sum_rows(d: Floats) -> Floats:
    """Sum over all axes but the last."""
    result: Floats = d.reshape(-1, d.shape[-1]).sum(axis=0)
    return result


class Affine:
    """W v + b, or normalised LN(W v) * gain + b, for the rows of some gates, with its gradient.

    Parameters
    ----------
    variant : Variant
    weights : mapping
        Holds ``weight_<end>``, and optionally ``bias_<end>`` and ``gain_<end>``.
    end : str
        "ih", "hh" or "skip".
    gates : str
        The gates whose rows are used; they are normalised together.
    v : ndarray [..., K]

    Attributes
    ----------
    gate : dict of str to ndarray [..., H]
        The result by gate.
    """

    def __init__(self, variant: Variant, weights: NamedWeights, end: str, gates: str, v: Floats) -> None:
        self.v, self.end, self.gates, self.rows = v, end, gates, variant.rows(gates)
        bias, gain = f"bias_{end}", f"gain_{end}"
        a = v @ weights[f"weight_{end}"][self.rows].T
        if gain in weights:
            self.normal, self.root = normalise(a)
            a = self.normal * weights[gain][self.rows]
        if bias in weights:
            a = a + weights[bias][self.rows]
        self.gate: Gates = dict(zip(gates, np.split(a, len(gates), axis=-1), strict=True))

    def backward(self, weights: NamedWeights, da: Gates, dweights: NamedWeights) -> Floats:
        """Return the gradient of v from that of the result; add the weights' gradients to `dweights`."""
        weight, bias, gain = f"weight_{self.end}", f"bias_{self.end}", f"gain_{self.end}"
        d = np.concatenate([da[gate] for gate in self.gates], axis=-1)
        if bias in weights:
            dweights[bias][self.rows] += sum_rows(d)
        if gain in weights:
            dweights[gain][self.rows] += sum_rows(d * self.normal)
            d = normalise_backward(self.normal, self.root, d * weights[gain][self.rows])
        dweights[weight][self.rows] += d.reshape(-1, d.shape[-1]).T @ self.v.reshape(-1, self.v.shape[-1])
        dv: Floats = d @ weights[weight][self.rows]
        return dv


class Step(SimpleNamespace):
    """The inputs and results of one step, named as in the equations, for the backward pass.

    Attributes
    ----------
    x : dict of str to ndarray [N, H]
        The input part by gate.
    h0 : ndarray [N, P]
        h before the step.
    q0 : ndarray [N, H]
        The carried state before the step: c of an LSTM or a projected GRU, else h.
    u : ndarray [N, P]
        The input of the recurrent product: h0 times its mask.
    far : ndarray [N, P] or None
        h of d steps ago, with ``skip``.
    m : ndarray [N, H] or 1.0
        The candidate's mask.
    keep_h, keep_c : ndarray or float
        The fraction of the previous state that zoneout keeps.
    A : dict of str to ndarray [N, H]
        The recurrent part by gate.
    B : Affine
        The candidate's recurrent part, if a gate acts before its product.
    q : ndarray [N, H]
        The output of the cell, before any projection.
    c : ndarray [N, H]
        The new carried state, before zoneout.

    Gates go by their letters; n (g of an LSTM) includes its mask. Each cell adds values of its own.
    """


def recurrent(variant: Variant, weights: NamedWeights, s: Step, gates: str) -> Gates:
    """Compute A = W_hh u + b_hh + W_skip h_{t-d}, or LN(W_hh u) * gain_hh + b_hh, for some gates."""
    s.product = Affine(variant, weights, "hh", gates, s.u)
    if not variant.skip:
        return s.product.gate  # type: ignore[no-any-return]  # all of a Step's values are Any
    s.skipped = Affine(variant, weights, "skip", gates, s.far)
    return {gate: s.product.gate[gate] + s.skipped.gate[gate] for gate in gates}


def recurrent_backward(
    variant: Variant, weights: NamedWeights, s: Step, dA: Gates, dweights: NamedWeights
) -> tuple[Any, Any]:
    """Compute the gradients of u and of h_{t-d} (0 without skip)."""
    du = s.product.backward(weights, dA, dweights)
    return du, s.skipped.backward(weights, dA, dweights) if variant.skip else 0.0
