r"""Variants of the cells: the forward pass and backpropagation through time.

One layer and one direction, every option in its plainest form. The tape keeps all values of each step under
the names of the equations, see `fastrnn.reference.variant_affine.Step`. With ``'`` for before the step and
an elementwise ``*``, a step is ::

    x = W_ih (x_t * mask_x) + b_ih
    u = h' * mask_h
    A = W_hh u + W_skip h_{t-d} + b_hh    W_skip with skip
    q = cell(x, A, c')                    c': the carried state, h' unless the cell has a c
    h = q                                 or  W_hr q
    h = k * h' + (1 - k) * h              zoneout; for an LSTM's c likewise

Layer normalisation, ``LN(v) = (v - mean(v)) / sqrt(var(v) + 1e-5)``, is of the products before their
biases: ``x = LN(W_ih (x_t * mask_x)) * gain_ih + b_ih`` and ``A = LN(W_hh u + W_skip h_{t-d}) * gain_hh +
b_hh``. The mean and the variance are those of all gates together, except that a candidate whose product a
gate scales (n of a GRU, g with relevance) and n of a minGRU are normalised alone. The Elman cell normalises
once, the sum of both.

The cells, with s for the sigmoid, m for the candidate's mask and the gates in the order of the weights' rows:

elman, n ::

    n = tanh(x + A) * m                   or  tanh(LN(x + A) * gain + b_ih + b_hh) * m, x and A without biases
    q = n                                 or with a leak a:  a * h' + (1 - a) * n

gru, r z n ::

    r = s(x_r + A_r)
    z = s(x_z + A_z)
    n = tanh(x_n + r * A_n) * m           reset_after; else
    n = tanh(x_n + W_hn (r * u) + b_hn) * m
    q = (1 - z) * n + z * c'

lstm, i f g o; coupled i g o; with relevance an r after them ::

    i = s(x_i + A_i + p_i * c')           p: the peepholes
    f = s(x_f + A_f + p_f * c')           or coupled:  1 - i
    g = tanh(x_g + A_g) * m               or with relevance:  r = s(x_r + A_r)
                                          g = tanh(x_g + W_hg (r * u) + b_hg) * m
    c = f * c' + i * g                    clipped to [-cell_clip, cell_clip]
    o = s(x_o + A_o + p_o * c)            or with the peephole "previous":  p_o * c'
    q = o * tanh(c)                       or  o * tanh(LN(c) * gain_c + bias_c)

slstm, i f z o; c' is c, n and m ::

    log_i = x_i + A_i
    log_f = log s(x_f + A_f)
    z = tanh(x_z + A_z) * m
    o = s(x_o + A_o)
    m_t = max(log_f + m', log_i)          where n' = 0:  log_i
    c = exp(log_f + m' - m_t) * c' + exp(log_i - m_t) * z
    n = exp(log_f + m' - m_t) * n' + exp(log_i - m_t)
    q = o * c / n

mingru, z n ::

    q = (1 - s(x_z)) * h' + s(x_z) * x_n * m

minlstm, f i n ::

    f = s(x_f)
    i = s(x_i)
    q = f / (f + i) * h' + i / (f + i) * x_n * m      i / (f + i) = s(log i - log f)

References
----------
Jaeger, Lukosevicius, Popovici, Siewert: Optimization and applications of echo state networks with
leaky-integrator neurons, Neural Networks 20 (2007) 335-352: the leak.
Gers, Schmidhuber: Recurrent nets that time and count, IJCNN 2000: peepholes.
Greff, Srivastava, Koutnik, Steunebrink, Schmidhuber: LSTM: a search space odyssey, arXiv:1503.04069 (2015):
the coupled input and forget gate.
Sak, Senior, Beaufays: Long short-term memory recurrent neural network architectures for large scale acoustic
modeling, Interspeech 2014: the projection.
Ba, Kiros, Hinton: Layer normalization, arXiv:1607.06450 (2016).
Krueger et al.: Zoneout: regularizing RNNs by randomly preserving hidden activations, ICLR 2017.
Semeniuta, Severyn, Barth: Recurrent dropout without memory loss, COLING 2016: the candidate's mask.
Gal, Ghahramani: A theoretically grounded application of dropout in recurrent neural networks, NIPS 2016: the
masks of x and h, the same at every step.
Beck et al.: xLSTM: extended long short-term memory, arXiv:2405.04517 (2024): sLSTM.
Feng, Tung, Ahmed, Bengio, Hajimirsadeghi: Were RNNs all we needed?, arXiv:2410.01201 (2024): minGRU, minLSTM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn.reference._arrays import Booleans, Floats, Integers, State, check_floats
from fastrnn.reference.time_loop import TimeLoop, make_time_loop
from fastrnn.reference.variant_affine import Affine, NamedWeights, Step
from fastrnn.reference.variant_cells import step, step_backward
from fastrnn.reference.variant_settings import Variant, check_masks, make_variant


@dataclass(frozen=True, eq=False)
class VariantTape:
    """What a forward pass of a variant keeps for the backward pass.

    Attributes
    ----------
    variant : Variant
        The cell and its options.
    y : ndarray [T, N, P]
        h after each step, 0 on padding.
    state : tuple of ndarray
        The initial state; the past flattened to [N, d*P].
    lengths : ndarray [N], int64, or None
    reset : ndarray [T, N], bool, or None
    reverse : bool
    mask_x : ndarray [N, D] or 1.0
    mask_h : ndarray [N, P] or 1.0
    inputs : Affine
        The input part of all steps.
    steps : tuple of Step
        All values of each step t, such as ``tape.steps[t].i``. Values on padding have no meaning.
    mask : ndarray [T, N], bool, or None
    zero_masked : bool
    """

    variant: Variant
    y: Floats
    state: State
    lengths: Integers | None
    reset: Booleans | None
    reverse: bool
    mask_x: Any
    mask_h: Any
    inputs: Affine
    steps: tuple[Step, ...]
    mask: Booleans | None = None
    zero_masked: bool = False


def variant_forward(
    cell: str,
    x: Floats,
    weights: NamedWeights,
    state: State | None = None,
    lengths: Integers | None = None,
    reset: Booleans | None = None,
    reverse: bool = False,
    *,
    masks: Mapping[str, Floats] | None = None,
    training: bool = True,
    mask: Booleans | None = None,
    zero_masked: bool = False,
    **options: Any,
) -> tuple[Floats, State, VariantTape]:
    r"""Run a variant of a cell over a sequence; the module's docstring has the equations.

    Parameters
    ----------
    cell : str
        "elman", "gru", "lstm", "slstm", "mingru" or "minlstm", with G = 1, 3, 4, 4, 2, 3 gates; an LSTM has
        one less with ``coupled`` and one more with ``relevance``.
    x : ndarray [T, N, D], any float dtype
        Features; for ids see `fastrnn.reference.one_hot`.
    weights : mapping of str to ndarray, dtype of `x`
        weight_ih [G*H, D] and, except for mingru and minlstm, weight_hh [G*H, P]; P = H without weight_hr.

        - bias_ih [G*H], bias_hh [G*H]: optional
        - weight_hr [P, H]: a projection (elman, gru, lstm, slstm)
        - weight_peephole [K, H]: peepholes (lstm), rows i, f, o, coupled i, o
        - gain [H] (elman) or gain_ih [G*H], gain_hh [G*H] (not mingru, minlstm); lstm also gain_c [H],
          bias_c [H]: with ``layer_norm``
        - leak [H] or [1]: learned leak (elman), a = sigmoid(leak)
        - weight_skip [G*H, P]: with ``skip``
    state : tuple of ndarray, optional
        (h [N, P],), followed by c [N, H] for lstm and for gru with a projection, by c, n and m [N, 3*H] for
        slstm, and with ``skip`` by the past [N, d, P], the d values of h before the first step, oldest first;
        zeros if not given.
    lengths : ndarray [N], any integer dtype, optional
        Real steps of each row, 0 .. T; steps after them are padding.
    reset : ndarray [T, N], bool, optional
        Where True, the row restarts at that step from its initial state, its past included.
    reverse : bool
        Run from each row's last real step to its first.
    masks : mapping of str to ndarray, dtype of `x`, optional
        Any of x [N, D] and h [N, P], the same at every step, and candidate [T, N, H], all factors; zone_h
        [T, N, P] and zone_c [T, N, H], 1 where the previous value is kept. The time axis is that of `x`.
    training : bool
        False: ignore the masks and apply ``zoneout``.
    mask : ndarray [T, N], bool, optional
        Where False, the step does not count: the row's state is carried on. A reset there is one at its next
        step that counts.
    zero_masked : bool
        Whether y is 0 where the mask is False; else it is what it was at the step before in the loop's order
        (0 if no step counted so far).
    **options
        - nonlinearity : str; elman, gru ("tanh"), mingru, minlstm ("identity" or "positive")
        - leak : float in [0, 1); elman
        - reset_after : bool (True); gru
        - peephole : "gers" or "previous"; lstm, where there is a weight_peephole
        - coupled, relevance : bool; lstm
        - cell_clip : float; lstm
        - gate_activation ("sigmoid"); gru, lstm
        - candidate_activation, output_activation ("tanh"); lstm
        - zoneout : pair of float; the fractions of h and of c that are kept in inference
        - layer_norm : bool; skip : int, d; elman, gru, lstm, slstm; mingru and minlstm layer_norm alone

        Activations are "sigmoid", "tanh", "relu", "identity", "hard_sigmoid" and "positive".

    Returns
    -------
    y : ndarray [T, N, P]
        h after each step, 0 on padding.
    state_n : tuple of ndarray
        The state after each row's last step, shaped as `state`.
    tape : VariantTape
        What `variant_backward` needs.

    Raises
    ------
    TypeError
        If the dtypes differ or are not floats, or the cell does not have an option.
    ValueError
        If shapes do not fit, a weight is missing or unexpected, a length or a value is out of range, or
        options contradict each other.

    Examples
    --------
    >>> import numpy as np
    >>> weights = {"weight_ih": np.ones((1, 1)), "weight_hh": np.zeros((1, 1))}
    >>> y, (h,), tape = variant_forward("elman", np.ones((3, 1, 1)), weights, nonlinearity="relu", leak=0.5)
    >>> y.ravel().tolist()  # each step goes half of the way to 1
    [0.5, 0.75, 0.875]
    >>> tape.steps[2].n.tolist()
    [[1.0]]
    """
    variant = make_variant(cell, weights, options)
    dtype = weights["weight_ih"].dtype
    check_floats("x", x, ("T", "N", weights["weight_ih"].shape[1]), dtype)
    masks = {} if masks is None or not training else masks
    check_masks(variant, masks, x)
    loop = make_time_loop(x.shape[:2], lengths, reset, reverse, mask)
    initial = state_t = _initial_state(variant, "state", state, x)
    mask_x, mask_h = masks.get("x", 1.0), masks.get("h", 1.0)
    by_step = {name: loop.zero_padding(mask) for name, mask in masks.items() if name not in ("x", "h")}
    zone_h, zone_c = (0.0, 0.0) if training else variant.zoneout
    inputs = Affine(variant, weights, "ih", variant.gates, loop.zero_padding(x) * mask_x)
    steps = [
        Step(
            x={gate: a[t] for gate, a in inputs.gate.items()},
            m=by_step["candidate"][t] if "candidate" in masks else 1.0,
            keep_h=by_step["zone_h"][t] if "zone_h" in masks else zone_h,
            keep_c=by_step["zone_c"][t] if "zone_c" in masks else zone_c,
        )
        for t in range(len(x))
    ]
    y = np.empty((*loop.shape, variant.P), dtype)
    output = np.zeros(y.shape[1:], dtype)
    for t in loop.steps:
        before = loop.restart(t, state_t, initial)
        after = step(variant, weights, steps[t], mask_h, before)
        (output,) = loop.hold_padding(t, after[:1], (output,))
        y[t] = output
        state_t = loop.hold_padding(t, after, state_t)
    y = _shown(loop, zero_masked).zero_padding(y)
    kept = (variant, y, initial, loop.lengths, reset, reverse, mask_x, mask_h, inputs, tuple(steps))
    tape = VariantTape(*kept, mask, zero_masked)
    return y, _split_past(variant, state_t), tape


def variant_backward(
    cell: str,
    weights: NamedWeights,
    tape: VariantTape,
    dy: Floats | None,
    dstate_n: State | None = None,
) -> tuple[Floats, State, dict[str, Floats]]:
    """Backpropagate through time for a variant of a cell.

    The loop goes back over the steps of the tape and adds up the gradients of the weights. The gradients of
    the input part are collected; those of x and weight_ih follow at the end, in one product each.

    Parameters
    ----------
    cell : str
        That of the forward pass; its options are on the tape.
    weights : mapping of str to ndarray
        Those of the forward pass.
    tape : VariantTape
        From `variant_forward`; not changed.
    dy : ndarray [T, N, P] or None
        Gradient of `y`; None for zeros. Its padding is ignored.
    dstate_n : tuple of ndarray, optional
        Gradient of `state_n`, of the same shapes; zeros if not given.

    Returns
    -------
    dx : ndarray [T, N, D]
        0 on padding.
    dstate : tuple of ndarray
        Gradient of the initial state, shaped as `state`.
    dweights : dict of str to ndarray
        Gradients of the weights by name.

    Raises
    ------
    TypeError
        If the dtypes differ.
    ValueError
        If the shapes do not fit, or the tape is of another cell or other weights.

    References
    ----------
    Werbos: Backpropagation through time: what it does and how to do it, Proc. IEEE 78 (1990) 1550-1560.

    Examples
    --------
    >>> import numpy as np
    >>> weights = {"weight_ih": np.zeros((2, 1)), "bias_ih": np.zeros(2)}
    >>> y, _, tape = variant_forward("mingru", np.zeros((3, 1, 1)), weights)
    >>> _, (dh,), _ = variant_backward("mingru", weights, tape, None, (np.ones((1, 1)),))
    >>> dh.tolist()  # half of the state is kept, three times
    [[0.125]]
    """
    variant, y = tape.variant, tape.y
    if (variant.cell, variant.weights) != (cell, frozenset(weights)):
        raise ValueError(f"tape: expected one of the cell {cell} with these weights")
    dy = np.zeros_like(y) if dy is None else dy
    check_floats("dy", dy, y.shape, y.dtype)
    loop = make_time_loop(y.shape[:2], tape.lengths, tape.reset, tape.reverse, tape.mask)
    dy = _shown(loop, tape.zero_masked).zero_padding(dy)
    doutput = np.zeros(y.shape[1:], y.dtype)  # of the outputs that repeat that of a step
    dstate = _initial_state(variant, "dstate_n", dstate_n, y)
    nothing = tuple(np.zeros_like(d) for d in dstate)
    dinitial = tuple(np.zeros_like(d) for d in dstate)
    dweights = {name: np.zeros_like(weight) for name, weight in weights.items()}
    dinputs = {gate: np.zeros_like(a) for gate, a in tape.inputs.gate.items()}
    for t in reversed(loop.steps):
        # Rows on padding run the step with gradients of 0; their own are put back after it.
        dafter = loop.hold_padding(t, dstate, nothing)
        doutput = doutput + dy[t]
        (dh,) = loop.hold_padding(t, (doutput,), nothing[:1])
        dafter = (dafter[0] + dh, *dafter[1:])
        (doutput,) = loop.hold_padding(t, nothing[:1], (doutput,))
        dx_t, dbefore = step_backward(variant, weights, tape.steps[t], tape.mask_h, dafter, dweights)
        for gate, d in dx_t.items():
            dinputs[gate][t] = d
        dstate = loop.hold_padding(t, loop.restart_backward(t, dbefore, dinitial), dstate)
    (dx,) = tape.inputs.backward(weights, dinputs, dweights)
    dx = dx * tape.mask_x
    dstate = tuple(d + d0 for d, d0 in zip(dstate, dinitial, strict=True))
    return dx, _split_past(variant, dstate), dweights


def _shown(loop: TimeLoop, zero_masked: bool) -> TimeLoop:
    """Return the loop as far as outputs are zero on its padding: with masked steps among it, or without."""
    return loop if zero_masked or loop.real is None else make_time_loop(loop.shape, loop.lengths)


def _initial_state(variant: Variant, name: str, state: State | None, like: Floats) -> State:
    """Return the checked state or its gradient, the past as [N, d*P]; zeros with rows and dtype of `like`."""
    rows, widths = like.shape[1], variant.state_widths
    if state is None:
        return tuple(np.zeros((rows, width), like.dtype) for width in widths.values())
    if len(state) != len(widths):
        raise ValueError(f"{name}: expected a tuple of {len(widths)} arrays, got {len(state)}")
    for (letter, width), array in zip(widths.items(), state, strict=True):
        shape = (rows, variant.skip, variant.P) if letter == "past" else (rows, width)
        check_floats(f"{name}: {letter}", array, shape, like.dtype)
    return tuple(a.reshape(rows, width) for a, width in zip(state, widths.values(), strict=True))


def _split_past(variant: Variant, state: State) -> State:
    """Return the state with the past as [N, d, P], as the caller sees it."""
    if not variant.skip:
        return state
    return (*state[:-1], state[-1].reshape(len(state[-1]), variant.skip, variant.P))
