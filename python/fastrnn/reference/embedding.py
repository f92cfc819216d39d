"""The embedding: a row of the table for each id, and the scatter-add of its gradients."""

from __future__ import annotations

import numpy as np

from fastrnn.reference._arrays import Floats, Integers, check_floats, check_ids


def embedding_forward(ids: Integers, weight: Floats) -> Floats:
    """Look up one row of `weight` for each id.

    Parameters
    ----------
    ids : ndarray [...], any integer dtype
        In 0 .. V - 1.
    weight : ndarray [V, E], float32 or float64

    Returns
    -------
    ndarray [..., E], dtype of `weight`

    Raises
    ------
    TypeError
        If `ids` are not integers or `weight` is not float32 or float64.
    ValueError
        If an id is outside 0 .. V - 1.

    Examples
    --------
    >>> import numpy as np
    >>> embedding_forward(np.array([1, 0, 1]), np.array([[0.5], [2.0]])).tolist()
    [[2.0], [0.5], [2.0]]
    """
    check_floats("weight", weight, ("V", "E"))
    check_ids("ids", ids, len(weight))
    return weight[ids]


def embedding_backward(ids: Integers, dy: Floats, num_embeddings: int) -> Floats:
    """Compute the gradient of the table: row v is the sum of `dy` over all occurrences of id v.

    A stable sort groups equal ids, which are summed in their order; ``numpy.add.at`` computes the same sums
    more slowly.

    Parameters
    ----------
    ids : ndarray [...], any integer dtype
        The ids of the forward pass.
    dy : ndarray [..., E], float32 or float64
    num_embeddings : int
        V, the rows of the table.

    Returns
    -------
    ndarray [V, E], dtype of `dy`

    Raises
    ------
    TypeError
        If `ids` are not integers or `dy` is not float32 or float64.
    ValueError
        If an id is outside 0 .. V - 1, or the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> embedding_backward(np.array([1, 0, 1]), np.array([[1.0], [2.0], [4.0]]), 3).tolist()
    [[2.0], [5.0], [0.0]]
    """
    check_ids("ids", ids, num_embeddings)
    check_floats("dy", dy, (*ids.shape, "E"))
    dweight = np.zeros((num_embeddings, dy.shape[-1]), dy.dtype)
    order = np.argsort(ids, axis=None, kind="stable")
    present, starts = np.unique(ids.ravel()[order], return_index=True)
    if present.size:
        dweight[present] = np.add.reduceat(dy.reshape(ids.size, -1)[order], starts, axis=0)
    return dweight


def one_hot(ids: Integers, num_embeddings: int, dtype: str = "float32") -> Floats:
    """Return each id as a vector with a single 1. For illustration: nothing here computes with it.

    Parameters
    ----------
    ids : ndarray [...], any integer dtype
        In 0 .. V - 1.
    num_embeddings : int
        V, the length of each vector.
    dtype : str
        "float32" or "float64".

    Returns
    -------
    ndarray [..., V], `dtype`

    Raises
    ------
    TypeError
        If `ids` are not integers.
    ValueError
        If an id is outside 0 .. V - 1.

    Examples
    --------
    >>> import numpy as np
    >>> one_hot(np.array([2, 0]), 3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    check_ids("ids", ids, num_embeddings)
    result: Floats = np.eye(num_embeddings, dtype=dtype)[ids]
    return result
