from __future__ import annotations

import numpy as np
import pytest

from calibrate.errors import ConfigurationError, DataError
from calibrate.sample import Column, Groups, Sample, concatenate, effective_size

X, Z = (Column("pt", "GeV", positive=True), Column("eta")), (Column("true", "GeV"),)


def sample(n: int = 6, **changes: object) -> Sample:
    values = {
        "x": np.column_stack([np.arange(1.0, n + 1), np.zeros(n)]),
        "z": np.arange(n, dtype=float),
        "w": np.ones(n),
        "x_columns": X,
        "z_columns": Z,
    }
    return Sample(**{**values, **changes})


def test_arrays_become_read_only_matrices():
    events = sample()
    assert events.z.shape == (6, 1)
    with pytest.raises(ValueError, match="read-only"):
        events.x[0, 0] = 3.0


def test_data_without_truth_has_no_z_columns():
    assert sample(z=np.empty((6, 0)), z_columns=()).z.shape == (6, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"w": np.zeros(6)}, "all 6 weights are zero"),
        ({"w": np.array([1, 1, 1, 1, 1, np.nan])}, "'weight' holds 1 values of 6 that are not fin"),
        ({"w": -np.ones(6)}, "sum to -6"),
        ({"z": np.array([0, 1, np.inf, 3, 4, 5.0])}, "'true' holds 1 values"),
        ({"x": np.zeros((6, 2))}, "'pt' is positive by nature, but 6"),
        ({"x": np.ones((5, 2))}, "x must have shape"),
        ({"group": np.arange(3)}, "'group' must have one value"),
        ({"spectators": {"npv": np.ones(2)}}, "'npv' must have one value"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(changes: dict, message: str):
    with pytest.raises(DataError, match=message):
        sample(**changes)


def test_an_empty_sample_is_refused():
    with pytest.raises(DataError, match="no events"):
        sample(0, x=np.empty((0, 2)), z=np.empty((0, 1)))


def test_a_missing_column_lists_near_names():
    with pytest.raises(DataError, match="did you mean true"):
        sample().column("ture")


def test_a_split_never_parts_a_group():
    events = sample(1000, group=np.repeat(np.arange(500), 2))
    first, second = events.split(0.5, np.random.default_rng(0))
    assert not set(first.group) & set(second.group)
    assert len(first) + len(second) == 1000
    assert len(np.unique(first.group)) == 250


def test_a_split_needs_a_fraction():
    with pytest.raises(ConfigurationError, match=r"got 1\.5"):
        sample().split(1.5, np.random.default_rng(0))


def test_concatenate_undoes_a_split():
    events = sample(100, spectators={"npv": np.arange(100.0)})
    together = concatenate(events.split(0.3, np.random.default_rng(0)))
    order = np.argsort(together.z[:, 0])
    np.testing.assert_array_equal(together.x[order], events.x)
    np.testing.assert_array_equal(together.spectators["npv"][order], np.arange(100.0))


def test_concatenate_refuses_other_columns():
    with pytest.raises(DataError, match="different columns"):
        concatenate([sample(), sample(z_columns=(Column("other"),))])
    with pytest.raises(DataError, match="different columns"):
        concatenate([sample(), sample(spectators={"npv": np.arange(6.0)})])


def test_concatenated_rows_of_one_label_are_one_event():
    copies = concatenate([sample(), sample()])
    assert copies.groups.number == 6
    assert copies.effective_size == sample().effective_size
    others = concatenate([sample(), sample(group=6 + np.arange(6))])
    assert others.groups.number == 12


def test_effective_size_counts_groups_and_ignores_scale():
    w = np.array([1.0, 1.0, 2.0, 0.0])
    assert effective_size(w) == pytest.approx(16 / 6)
    assert effective_size(1e-200 * w) == pytest.approx(16 / 6)
    repeated = effective_size(np.ones(4), Groups.of(np.array([0, 1, 2, 2])))
    assert repeated == pytest.approx(effective_size(np.array([1.0, 1.0, 2.0])))
