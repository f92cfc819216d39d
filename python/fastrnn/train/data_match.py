"""Whether training data, options, files and the optimizer belong to the model that a trainer has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn.data.examples import ExampleBatches
from fastrnn.train.example_network import ExampleNetwork
from fastrnn.train.optimizer import Optimizer
from fastrnn.train.optimizers import Adam

if TYPE_CHECKING:
    from fastrnn.language import LanguageModel
    from fastrnn.layers.base.module import Module

__all__ = ["check_data", "check_kind_of_data", "check_saves_itself", "checked_optimizer"]


def check_data(name: str, model: LanguageModel, data: Any) -> None:
    """Check that sentences have the start and the end of the model, where both say what these are.

    Raises
    ------
    ValueError
        If they differ; data of other kinds has neither.

    Examples
    --------
    >>> import fastrnn as fr
    >>> model = fr.LanguageModel(5, hidden_size=4, start=-1, eos=0, seed=0)
    >>> check_data("data", model, fr.data.SentenceBatches([[1, 2]], 1, eos=4))
    Traceback (most recent call last):
    ValueError: eos: the model ends texts with id 0, data with id 4
    """
    for role, verb in (("eos", "ends"), ("start", "starts")):
        wanted, given = getattr(model, role), getattr(data, role, None)
        if wanted is not None and given is not None and wanted != given:
            raise ValueError(f"{role}: the model {verb} texts with id {wanted}, {name} with id {given}")


def check_kind_of_data(network: Any, data: Any, validation: Any, of_language_models: tuple[Any, ...]) -> None:
    """Check that data, validation data and options are those of a language model, or of another network.

    Parameters
    ----------
    network : LanguageModel or ExampleNetwork
    data, validation
        Of a trainer; validation data may be None.
    of_language_models : tuple
        The options that only language models have, as given.

    Raises
    ------
    ValueError, TypeError
        If not; the message names what does not belong.
    """
    examples = isinstance(network, ExampleNetwork)
    if examples and any(of_language_models):
        raise ValueError(
            "label_smoothing, checkpoint_every, diagnose_every: expected none with ExampleBatches; "
            "write loss=functools.partial(loss, label_smoothing=...) for the first"
        )
    if validation is not None and examples != isinstance(validation, ExampleBatches):
        wanted = "ExampleBatches" if examples else "a text or SentenceBatches"
        got = type(validation).__name__
        raise TypeError(f"validation: expected {wanted}, as the training data, got {got}")
    if not examples:
        check_data("data", network, data)
        check_data("validation", network, validation)


def check_saves_itself(network: Any) -> None:
    """Check that a trainer's file can hold all of a model.

    Raises
    ------
    TypeError
        If it is a language model, which is saved with its vocabulary.
    """
    if not isinstance(network, ExampleNetwork):
        raise TypeError(
            "a LanguageModel is saved with its vocabulary: write save_checkpoint(path, trainer.model, "
            "vocabulary, trainer.state()), and load_checkpoint(path) and trainer.restore(...) to continue"
        )


def checked_optimizer(model: Module, optimizer: Optimizer | None) -> Optimizer:
    """Return the optimizer of a trainer, or the default, after a check that it trains the model.

    Raises
    ------
    TypeError, ValueError
        If it is something else, or trains another model.
    """
    if optimizer is None:
        return Adam(model, 2e-3)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer: expected an Optimizer or None, got {type(optimizer).__name__}")
    own = model.parameters.flat
    for module in optimizer.modules:
        if not np.may_share_memory(own, module.parameters.flat):  # exact: neither has gaps
            raise ValueError(
                f"optimizer: expected one of this trainer's model, got one of another "
                f"{type(module).__name__}; type {type(optimizer).__name__}(model, ...)"
            )
    return optimizer
