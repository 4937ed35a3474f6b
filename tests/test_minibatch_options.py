"""Options of networks that are trained on minibatches: named the same whatever the method."""

from __future__ import annotations

import pytest

from calibrate.errors import ConfigurationError
from calibrate.methods.baseline_classifier import BaselineClassifier
from calibrate.methods.bayesian import Bayesian
from calibrate.methods.mse import MSE

STOPPING = (Bayesian, BaselineClassifier)


@pytest.mark.parametrize("method", [MSE, *STOPPING])
@pytest.mark.parametrize(("option", "value", "message"), [
    ("hidden", [0], "method.hidden takes a list of layer sizes"),
    ("activation", "rellu", "method.activation='rellu': did you mean relu"),
    ("batch", 0, "method.batch must be a positive integer, got 0"),
    ("learning_rate", -1, "method.learning_rate must be positive, got -1"),
    ("restarts", -1, "method.restarts must be an integer ≥ 0, got -1"),
])  # fmt: skip
def test_an_option_of_adam_out_of_range_is_named(method, option: str, value, message: str):
    with pytest.raises(ConfigurationError, match=message):
        method(**{option: value})


@pytest.mark.parametrize("method", STOPPING)
@pytest.mark.parametrize(("option", "value", "message"), [
    ("validation", 1.0, "method.validation must be < 1, got 1"),
    ("patience", 0, "method.patience must be a positive integer, got 0"),
])  # fmt: skip
def test_an_option_of_early_stopping_out_of_range_is_named(method, option, value, message: str):
    with pytest.raises(ConfigurationError, match=message):
        method(**{option: value})
