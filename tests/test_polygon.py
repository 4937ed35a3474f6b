"""Polygons against lines."""

from __future__ import annotations

import numpy as np

from calibrate.statistics import polygon

KNOTS, VALUES = np.array([0.0, 1.0, 3.0]), np.array([1.0, 2.0, 8.0])


def test_a_polygon_goes_through_its_knots_and_straight_on_beyond_them():
    x = np.array([-2.0, 0.0, 0.5, 2.0, 3.0, 5.0])
    np.testing.assert_allclose(polygon(x, KNOTS, VALUES), [-1.0, 1.0, 1.5, 5.0, 8.0, 14.0])


def test_the_slopes_beyond_the_ends_may_be_given():
    x = np.array([-2.0, 0.5, 5.0])
    found = polygon(x, KNOTS, VALUES, np.array([0.5, -1.0]))
    np.testing.assert_allclose(found, [0.0, 1.5, 6.0])


def test_one_knot_needs_its_slopes():
    found = polygon(np.array([0.0, 1.0, 3.0]), np.ones(1), np.ones(1), np.array([2.0, 3.0]))
    np.testing.assert_allclose(found, [-1.0, 1.0, 7.0])
