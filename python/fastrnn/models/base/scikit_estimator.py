"""The manner of scikit-learn's estimators: settings by name, learned attributes, tags."""

from __future__ import annotations

import copy
import inspect
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["NotFittedError", "ScikitEstimator", "classifier_tags", "regressor_tags"]

# The settings that no network depends on: they may be changed after fit, and a file keeps the change.
_OF_PREDICTION = frozenset(
    {"batch_size", "beam_size", "decoder", "length_penalty", "max_length", "threshold", "verbose"}
)


class NotFittedError(ValueError, AttributeError):
    """A model was asked for a prediction before it was fitted.

    Where scikit-learn is loaded, its error of this name is raised, which has the same bases.
    """


class ScikitEstimator:
    """What scikit-learn asks of an estimator, for a dataclass whose fields are the settings.

    The constructor only stores them. What ``fit`` learns are all other attributes, set at once by `_adopt`.
    """

    __dict__: dict[str, Any]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the settings by name. `deep` is for scikit-learn, and without effect."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> Self:
        """Change settings.

        Raises
        ------
        ValueError
            If a name is not a setting; then none is changed.
        """
        names = self._parameter_names()
        for name in params:
            if name not in names:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {type(self).__name__}. "
                    f"Valid parameters are: {names!r}."
                )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        usual = {
            name: parameter.default for name, parameter in inspect.signature(type(self)).parameters.items()
        }
        given = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value is not usual[name] and repr(value) != repr(usual[name])
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    def __sklearn_is_fitted__(self) -> bool:
        return "network_" in self.__dict__

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=True),
            input_tags=InputTags(two_d_array=True, three_d_array=True, string=True),
            non_deterministic=False,
        )

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return sorted(inspect.signature(cls).parameters)

    def _blank(self) -> Self:
        """Return a model with the same settings that has learned nothing."""
        blank = copy.copy(self)
        for name in [*blank.__dict__]:
            if name not in self._parameter_names():
                del blank.__dict__[name]
        return blank

    def _adopt(self, fitted: Self) -> None:
        """Take over what another model of the same settings has learned."""
        settings = self._parameter_names()
        learned = {name: value for name, value in fitted.__dict__.items() if name not in settings}
        # Other attributes are not the model's: scikit-learn sets some of its own while it fits a pipeline.
        # `_optimizer` is: partial_fit made it for the network that goes.
        for name in (*self.__dict__.get("_fitted_names", ()), "_optimizer"):
            self.__dict__.pop(name, None)
        names = (*learned, "_fitted_settings")
        self.__dict__.update(learned, _fitted_settings=fitted.get_params(), _fitted_names=names)

    def _settings_of_file(self) -> dict[str, Any]:
        """Return the settings with which the model was fitted, but those of prediction as they are now.

        Others that were changed since count from the next fit on, not for the network that there is.
        """
        now = {name: value for name, value in self.get_params().items() if name in _OF_PREDICTION}
        return {**self.__dict__["_fitted_settings"], **now}

    def _check_fitted(self, method: str) -> None:
        """Check that the model is fitted.

        Raises
        ------
        NotFittedError
            If it is not; scikit-learn's, where that is loaded.
        """
        if self.__sklearn_is_fitted__():
            return
        module = sys.modules.get("sklearn.exceptions")
        kind = NotFittedError if module is None else module.NotFittedError
        raise kind(f"This {type(self).__name__} is not fitted yet; call fit before {method}")


def classifier_tags(tags: Any, *, multi_label: bool = False) -> Any:
    """Return scikit-learn's tags as those of a classifier."""
    from sklearn.utils import ClassifierTags

    tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags(multi_label=multi_label)
    return tags


def regressor_tags(tags: Any) -> Any:
    """Return scikit-learn's tags as those of a regressor, of one number or several."""
    from sklearn.utils import RegressorTags

    tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
    tags.target_tags.multi_output = True
    return tags
