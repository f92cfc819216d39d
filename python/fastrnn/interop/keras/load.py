"""`load_keras`: files of Keras become layers and a model that runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn._checks import as_flag
from fastrnn._files import read_regular
from fastrnn._plain import printable
from fastrnn.interop.file_error import ModelFileError
from fastrnn.interop.keras.by_names import layers_by_names
from fastrnn.interop.keras.configuration import model_config
from fastrnn.interop.keras.graph import built_graph
from fastrnn.interop.keras.hdf5_file import Unreadable
from fastrnn.interop.keras.keras_model import KerasModel
from fastrnn.interop.keras.layer_weights import Weights, weights_by_layer
from fastrnn.interop.keras.model_file import ModelFile, model_of
from fastrnn.interop.keras.operation import Built

__all__ = ["load_keras"]


def load_keras(
    path: str | os.PathLike[str],
    *,
    config: str | Mapping[str, Any] | None = None,
    partial: bool = False,
) -> KerasModel:
    """Read a model of Keras 2 or 3 from a ``.keras`` or HDF5 file, without Keras.

    Nothing in the file is executed: a Lambda layer and classes of the user's own are named, not run. Weights
    of float16 and bfloat16 become float32, which ``notes`` says.

    Parameters
    ----------
    path : path
        A ``.keras`` archive, a whole model as ``.h5``, or weights alone as ``.weights.h5`` or the ``.h5`` of
        ``save_weights``.
    config : str or mapping, optional
        The model's description, from ``model.to_json()``, for a file of weights alone. Without it layers are
        found by names and shapes, and cannot run as a model.
    partial : bool, default False
        Whether layers that are not known here are left out, named in ``unplaced``, instead of an error. The
        model does not run then; its other layers do.

    Returns
    -------
    model : KerasModel

    Raises
    ------
    ModelFileError
        A ValueError: the file is damaged, is of something else, or has layers that are not known here, all
        of which the message names.
    ValueError, TypeError
        If `config` is not the description of a model.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import fastrnn as fr
    >>> model = fr.interop.load_keras("sentiment.keras")  # doctest: +SKIP
    >>> model(ids)  # doctest: +SKIP
    """
    partial = as_flag("partial", partial)
    if config is not None and not isinstance(config, (str, Mapping)):
        raise TypeError(
            f"config: expected the JSON of model.to_json() or a mapping, got {type(config).__name__}"
        )
    content = read_regular(path)
    try:
        return _model(model_of(content, config), partial)
    except RecursionError:
        raise ModelFileError(f"{os.fspath(path)}: nested too deep") from None
    except (ValueError, TypeError) as error:
        raise ModelFileError(f"{os.fspath(path)}: {printable(str(error))}") from error


def _model(file: ModelFile, partial: bool) -> KerasModel:
    unplaced: dict[str, str] = {}
    modules: dict[str, Any] = {}
    graph = None
    if file.config is None:
        built = Built(file.version, np.dtype("float32"))
        modules, unplaced = layers_by_names(file, built)
    else:
        model = model_config("config", file.config)
        weights = weights_by_layer(file, model)
        built = Built(file.version, _dtype(weights))
        with np.errstate(over="ignore"):  # what does not fit is refused as not finite
            graph = built_graph(model, weights, built, unplaced, modules)
    if unplaced and not partial and file.config is not None:
        reasons = "; ".join(f"{name} {reason}" for name, reason in unplaced.items())
        raise ValueError(f"{reasons}. partial=True loads the other layers")
    return KerasModel(modules, unplaced, built.notes, graph, described=file.config is not None)


def _dtype(weights: Mapping[str, Weights]) -> np.dtype[Any]:
    arrays = [array for own in weights.values() for array in own if not isinstance(array, Unreadable)]
    double = any(array.dtype.kind == "f" and array.dtype.itemsize == 8 for array in arrays)
    return np.dtype("float64" if double else "float32")
