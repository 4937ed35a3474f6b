"""Arithmetic on columns: against NumPy, and everything else refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from calibrate.errors import CalibrateError, ConfigurationError, DataError
from calibrate.expressions import CONSTANTS, FUNCTIONS, Expression

RNG = np.random.default_rng(0)
COLUMNS = {
    "pt": RNG.uniform(1, 100, 50),
    "eta": RNG.normal(size=50),
    "Jet.PT": RNG.uniform(1, 100, 50).astype(np.float32),
    "pt [GeV]": RNG.uniform(1, 100, 50),
    "n": RNG.integers(0, 9, 50),
    "event": np.arange(50) + 2**53,
    "tight": RNG.integers(0, 2, 50).astype(bool),
    "loose": RNG.integers(0, 2, 50).astype(bool),
    "lambda": RNG.normal(size=50),
}
PT, ETA, N, TIGHT = (COLUMNS[name] for name in ("pt", "eta", "n", "tight"))


def value(text: str) -> np.ndarray:
    return Expression.parse(text, tuple(COLUMNS))(COLUMNS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pt/eta", PT / ETA),
        ("-pt + 2*eta**2 - 1", -PT + 2 * ETA**2 - 1),
        ("pt % 7", PT % 7),
        ("n/2", N / 2),
        ("log(pt)", np.log(PT)),
        ("hypot(pt, eta)", np.hypot(PT, ETA)),
        ("where(pt > 50, eta, -eta)", np.where(PT > 50, ETA, -ETA)),
        ("minimum(pt, 20)", np.minimum(PT, 20)),
        ("Jet.PT * 2", COLUMNS["Jet.PT"].astype(float) * 2),
        ("`pt [GeV]` / pt", COLUMNS["pt [GeV]"] / PT),
        ("`lambda`*1", COLUMNS["lambda"]),
        ("2*pi*eta", 2 * np.pi * ETA),
        ("20 < pt <= 50", (PT > 20) & (PT <= 50)),
        ("1 < 2 < pt", PT > 2),
        ("(pt > 20) & (abs(eta) < 1) | tight", (PT > 20) & (np.abs(ETA) < 1) | TIGHT),
        ("pt > 20 and not tight or loose", (PT > 20) & ~TIGHT | COLUMNS["loose"]),
        ("~tight", ~TIGHT),
        ("tight == 1", TIGHT),
        ("n != 3", N != 3),
        ("isfinite(pt)", np.isfinite(PT)),
        (" pt ", PT),
    ],
)
def test_an_expression_is_what_numpy_says(text: str, expected: np.ndarray):
    np.testing.assert_array_equal(value(text), expected)


@pytest.mark.parametrize("name", COLUMNS)
def test_the_name_of_a_column_is_that_column_with_its_type(name: str):
    assert value(name) is COLUMNS[name]


@pytest.mark.parametrize("text", ["Jet.PT*1", "exp(tight)", "tight + loose", "-tight", "sign(n)"])
def test_arithmetic_is_in_double_precision(text: str):
    assert value(text).dtype == np.float64


def test_flags_are_counted_by_arithmetic():
    np.testing.assert_array_equal(value("tight + loose"), 1 * TIGHT + COLUMNS["loose"])
    np.testing.assert_array_equal(value("tight * loose"), 1 * TIGHT * COLUMNS["loose"])


def test_integers_beyond_double_precision_are_compared_exactly():
    assert np.flatnonzero(value(f"event == {2**53 + 1}")).tolist() == [1]
    assert np.flatnonzero(value(f"event < {2**53 + 3}")).tolist() == [0, 1, 2]


def test_a_single_precision_column_is_not_compared_in_single_precision():
    columns = {"a": np.array([0.1], np.float32)}
    assert Expression.parse("a == 0.1", columns)(columns).tolist() == [False]


def test_a_column_named_like_a_constant_is_the_column():
    columns = {"pi": np.array([1.0])}
    assert Expression.parse("2*pi", columns)(columns).tolist() == [2.0]


def test_a_text_that_is_a_name_is_that_column_even_if_it_looks_like_arithmetic():
    columns = {"a-b": np.array([7.0]), "a": np.array([1.0]), "b": np.array([5.0])}
    assert Expression.parse("a-b", columns)(columns).tolist() == [7.0]
    assert Expression.parse("a - b", columns)(columns).tolist() == [-4.0]


def test_an_expression_names_the_columns_it_needs_once():
    assert Expression.parse("log(pt)/pt + `pt [GeV]` + Jet.PT", COLUMNS).columns == (
        "pt", "pt [GeV]", "Jet.PT",
    )  # fmt: skip


def test_bad_arithmetic_gives_values_that_are_not_finite_and_no_warning():
    columns = {"a": np.array([-1.0, 0.0, 1.0])}
    assert np.isfinite(Expression.parse("log(a)", columns)(columns)).tolist() == [
        False,
        False,
        True,
    ]
    assert np.isfinite(Expression.parse("1/a", columns)(columns)).tolist() == [True, False, True]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('x')",
        "__import__('os')",
        "pt.__class__",
        "().__class__",
        "open('x')",
        "eval('pt')",
        "[p for p in pt]",
        "lambda: pt",
        "(lambda x: x)(pt)",
        "pt[0]",
        "pt if pt else eta",
        "(x := pt)",
        "f'{pt}'",
        "'pt'",
        "True",
        "None + pt",
        "1j*pt",
        "pt // 2",
        "pt @ eta",
        "pt << 2",
        "pt ^ 2",
        "pt in eta",
        "pt is eta",
        "log(x=pt)",
        "log(*pt)",
        "hypot(pt)",
        "where(pt)",
        "log.__call__(pt)",
        "pt; eta",
        "pt = 2",
        "import os",
        "pt +",
        "`pt",
        "1if pt else 2",
        "1" * 400 + "*pt",
        "1e999*pt",
        "(" * 300 + "pt" + ")" * 300,
        "-" * 1900 + "pt",
        "+".join(["pt"] * 600),
        "pt" * 2000,
        "pt\0",
        "",
        "  ",
        "1 + 2",
        "pi",
        3,
        None,
        ["pt"],
    ],
)
def test_whatever_is_no_arithmetic_is_refused(text: object):
    with pytest.raises(CalibrateError) as caught:
        Expression.parse(text, tuple(COLUMNS))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2500


@pytest.mark.parametrize(
    "text",
    [
        "pt > 20 & abs(eta) < 2.5",
        "(pt > 20) & n",
        "pt and eta",
        "not pt",
        "~n",
        "where(n, pt, eta)",
        "1 | tight",
    ],
)
def test_a_number_is_never_taken_for_true_or_false(text: str):
    with pytest.raises(ConfigurationError, match="for true or false: compare it, with parenth"):
        value(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("log(ptt)", r"no column 'ptt' \(in 'log\(ptt\)'\): did you mean pt"),
        ("ptt", "no column 'ptt': did you mean pt"),
        ("Jet.pt", "no column 'Jet.pt': did you mean Jet.PT"),
        ("_quoted_column_7", "no column '_quoted_column_7'"),
        ("`a b`*2", "no column 'a b'"),
        ("__import__", "no column '__import__'"),
    ],
)
def test_a_missing_column_is_named_with_the_nearest(text: str, message: str):
    with pytest.raises(DataError, match=message):
        Expression.parse(text, tuple(COLUMNS))


def test_of_thousands_of_columns_only_some_are_listed():
    with pytest.raises(DataError, match=r"… \(3000 in all\)") as caught:
        Expression.parse("zzz", [f"Branch_{i}" for i in range(3000)])
    assert len(str(caught.value)) < 1000


@given(st.text(max_size=40))
def test_no_text_leads_to_anything_but_a_value_or_one_clear_line(text: str):
    try:
        found = Expression.parse(text, tuple(COLUMNS))(COLUMNS)
    except CalibrateError:
        return
    assert isinstance(found, np.ndarray)


NAMES = st.sampled_from(["pt", "eta", "n", "tight", "Jet.PT", "2", "0.5", *CONSTANTS])
ARITHMETIC = st.recursive(
    NAMES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "**", "%"]), inner).map(
            lambda part: f"({part[0]} {part[1]} {part[2]})"
        ),
        inner.map(lambda part: f"abs({part})"),
        inner.map(lambda part: f"-{part}"),
    ),
    max_leaves=12,
)


@given(ARITHMETIC)
def test_generated_arithmetic_agrees_with_python_itself(text: str):
    assume(any(name in text for name in ("pt", "eta", "n", "tight", "Jet")))
    names = {name: values.astype(float) for name, values in COLUMNS.items() if name.isidentifier()}
    python = text.replace("Jet.PT", "jet").replace("tight", "flag")
    names |= {"jet": COLUMNS["Jet.PT"].astype(float), "flag": TIGHT.astype(float)}
    with np.errstate(all="ignore"):
        numbers = {"abs": np.abs, **{k: np.float64(v) for k, v in CONSTANTS.items()}}
        literal = python.replace("0.5", "half").replace("2", "two")
        scalars = {"half": np.float64(0.5), "two": np.float64(2)}
        expected = eval(literal, {"__builtins__": {}}, {**names, **numbers, **scalars})
    np.testing.assert_array_equal(value(text), expected)


def test_every_function_is_elementwise():
    for name, function in FUNCTIONS.items():
        arguments = {1: "pt/200", 2: "pt/200, eta"}.get(getattr(function, "nin", 3))
        text = f"{name}({arguments})" if arguments else f"{name}(tight, pt, eta)"
        assert value(text).shape == PT.shape, name
