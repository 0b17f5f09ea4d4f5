import struct
import zlib

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocompress.report.style import format_tick, log_ticks, new_figure, render, styled


@given(st.floats(-6, 9), st.floats(0.05, 8))
def test_log_ticks_are_few_rising_and_inside(start, length):
    low, high = 10**start, 10 ** (start + length)
    ticks = log_ticks(low, high)
    assert ticks == sorted(ticks)
    assert all(low <= tick <= high for tick in ticks)
    assert 1 <= len(ticks) <= 8
    if length > 0.5:
        assert len(ticks) >= 2


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (5, 2e6, [10, 100, 1e3, 1e4, 1e5, 1e6]),
        (3e3, 1.2e6, [1e4, 1e5, 1e6]),
        (8e3, 2e5, [1e4, 3e4, 1e5]),
        (9e3, 6e4, [1e4, 2e4, 5e4]),
    ],
)
def test_log_ticks_are_what_one_would_choose(low, high, ticks):
    assert log_ticks(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (1, 1), (2, 1), (1, float("inf"))])
def test_what_a_log_axis_cannot_show_has_no_ticks(low, high):
    assert log_ticks(low, high) == []


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("bytes", 1e4, "10 KB"),
        ("bytes", 1e3, "1 KB"),
        ("bytes", 999, "999 B"),
        ("bytes", 1.5e6, "1.5 MB"),
        ("bytes", 1e-3, "0.001 B"),
        ("bytes", 0, "0 B"),
        ("count", 2e5, "200 K"),
        ("count", 12, "12"),
        ("fraction", 0.975, "97.5"),
        ("fraction", 0.3, "30"),
        ("ratio", 10.0, "10×"),
        ("time", 0.25, "0.25"),
        ("plain", 1e-4, "$10^{-4}$"),
        ("plain", 3e-4, r"$3\cdot 10^{-4}$"),
        ("plain", -1e6, "$-10^{6}$"),
    ],
)
def test_ticks_are_short(kind, value, text):
    assert format_tick(kind, value) == text


def a_figure():
    with styled():
        figure = new_figure(1.5)
        figure.add_subplot().plot([1, 2], [1, 3], label="μ × ‖w − Δ(Θ)‖")
        figure.axes[0].legend()
    return figure


def test_the_style_leaves_no_trace():
    with mpl.rc_context({"font.size": 23.0}):
        before = dict(mpl.rcParams)
        render(a_figure())
        assert dict(mpl.rcParams) == before


def test_the_users_own_settings_do_not_reach_a_figure():
    plain = render(a_figure(), ["png"])
    with mpl.rc_context({"font.size": 23.0, "axes.facecolor": "red", "text.usetex": True}):
        assert render(a_figure(), ["png"]) == plain


def test_the_same_figure_gives_the_same_files():
    assert render(a_figure()) == render(a_figure())


def test_png_has_300_dots_an_inch():
    png = render(a_figure(), ["png"])["png"]
    assert struct.unpack(">II", png[16:24]) == (990, 450)


def test_pdf_embeds_truetype_and_no_type_3_fonts():
    pdf = render(a_figure(), ["pdf"])["pdf"]
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf


def test_svg_needs_no_fonts_and_nothing_from_elsewhere():
    svg = render(a_figure(), ["svg"])["svg"].decode()
    assert "<text" not in svg
    assert 'href="http' not in svg
    assert "@import" not in svg


def test_rendering_does_not_change_the_figure():
    figure = a_figure()
    layout = figure.get_layout_engine()
    first = render(figure)
    assert figure.get_layout_engine() is layout
    assert zlib.crc32(render(figure)["png"]) == zlib.crc32(first["png"])


def test_pyplot_never_hears_of_a_figure():
    from matplotlib import pyplot

    render(a_figure())
    assert pyplot.get_fignums() == []
