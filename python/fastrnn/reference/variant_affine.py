"""Building blocks of the variants: layer normalisation, affine maps by gate, and the values of a step."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

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

    The recurrent part with ``skip`` has two products, W_hh u + W_skip h_{t-d}, normalised as one. An Elman
    cell normalises both parts together: there W v alone is computed, and `Sum` does the rest.

    Parameters
    ----------
    variant : Variant
    weights : mapping
        Holds ``weight_<end>``, and optionally ``bias_<end>`` and ``gain_<end>``.
    end : str
        "ih" or "hh".
    gates : str
        The gates whose rows are used; those of a group in ``variant.groups`` are normalised together.
    v : ndarray [..., K]
    far : ndarray [N, P], optional
        h_{t-d}.

    Attributes
    ----------
    gate : dict of str to ndarray [..., H]
        The result by gate.
    """

    rows: NDArray[np.integer[Any]]
    gates: str
    normal: NDArray[np.floating[Any]]
    roots: list[NDArray[np.floating[Any]]]

    def __init__(
        self,
        variant: Variant,
        weights: NamedWeights,
        end: str,
        gates: str,
        v: Floats,
        far: Floats | None = None,
    ) -> None:
        self.rows, self.gates = variant.rows(gates), gates
        self.inputs: dict[str, NDArray[np.floating[Any]]] = (
            {f"weight_{end}": v} if far is None else {f"weight_{end}": v, "weight_skip": far}
        )
        self.bias: str | None = f"bias_{end}" if f"bias_{end}" in weights and not variant.joint else None
        self.gain: str | None = f"gain_{end}" if variant.layer_norm and not variant.joint else None
        products = [v @ weights[name][self.rows].T for name, v in self.inputs.items()]
        a: Floats = products[0] if far is None else products[0] + products[1]
        if self.gain:
            self.groups: list[NDArray[np.integer[Any]]] = [
                variant.columns(gates, group) for group in variant.groups(gates)
            ]
            self.normal, self.roots = np.empty_like(a), []
            for columns in self.groups:
                self.normal[..., columns], root = normalise(a[..., columns])
                self.roots.append(root)
            a = self.normal * weights[self.gain][self.rows]
        if self.bias:
            a = a + weights[self.bias][self.rows]
        self.gate: Gates = dict(zip(gates, np.split(a, len(gates), axis=-1), strict=True))

    def backward(self, weights: NamedWeights, da: Gates, dweights: NamedWeights) -> list[Floats]:
        """Return the gradients of v and far from that of the result; add the weights' to `dweights`."""
        d = np.concatenate([da[gate] for gate in self.gates], axis=-1)
        if self.bias:
            dweights[self.bias][self.rows] += sum_rows(d)
        if self.gain:
            dweights[self.gain][self.rows] += sum_rows(d * self.normal)
            dnormal = d * weights[self.gain][self.rows]
            d = np.empty_like(d)
            for columns, root in zip(self.groups, self.roots, strict=True):
                d[..., columns] = normalise_backward(self.normal[..., columns], root, dnormal[..., columns])
        for name, v in self.inputs.items():
            dweights[name][self.rows] += d.reshape(-1, d.shape[-1]).T @ v.reshape(-1, v.shape[-1])
        return [d @ weights[name][self.rows] for name in self.inputs]


class Sum:
    """x + A, or LN(x + A) * gain + b_ih + b_hh, of the one gate of an Elman cell, with its gradient."""

    joint: bool
    value: Floats
    normal: NDArray[np.floating[Any]]
    root: NDArray[np.floating[Any]]

    def __init__(self, variant: Variant, weights: NamedWeights, a: Floats) -> None:
        self.joint, self.value = variant.joint, a
        if self.joint:
            self.normal, self.root = normalise(a)
            self.value = self.normal * weights["gain"]
            for bias in ("bias_ih", "bias_hh"):
                self.value = self.value + weights.get(bias, a.dtype.type(0))

    def backward(self, weights: NamedWeights, d: Floats, dweights: NamedWeights) -> Floats:
        """Return the gradient of x + A from that of the result; add the weights' gradients to `dweights`."""
        if not self.joint:
            return d
        for bias in ("bias_ih", "bias_hh"):
            if bias in weights:
                dweights[bias][...] += sum_rows(d)
        dweights["gain"][...] += sum_rows(d * self.normal)
        return normalise_backward(self.normal, self.root, d * weights["gain"])


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
    """Compute A = W_hh u + W_skip h_{t-d} + b_hh, or its normalised form, for some gates."""
    s.product = Affine(variant, weights, "hh", gates, s.u, s.far)
    return s.product.gate  # type: ignore[no-any-return]  # all of a Step's values are Any


def recurrent_backward(
    variant: Variant, weights: NamedWeights, s: Step, dA: Gates, dweights: NamedWeights
) -> tuple[Any, Any]:
    """Compute the gradients of u and of h_{t-d} (0 without skip)."""
    du, *dfar = s.product.backward(weights, dA, dweights)
    return du, dfar[0] if variant.skip else 0.0
