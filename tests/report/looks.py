"""What the tests ask of any figure: nothing clipped, small or overlapping."""

from __future__ import annotations

from matplotlib.text import Text


def check_figure(figure, *, width: float = 3.3) -> None:
    """Assert that a figure is a column wide and that all its text can be read."""
    figure.draw_without_rendering()
    inches = figure.get_tightbbox()
    slack = 0.02
    assert figure.get_figwidth() == width
    assert inches.x0 >= -slack
    assert inches.y0 >= -slack
    assert inches.x1 <= figure.get_figwidth() + slack
    assert inches.y1 <= figure.get_figheight() + slack
    for text in figure.findobj(Text):
        if text.get_text() and text.get_visible():
            assert text.get_fontsize() >= 8, text.get_text()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            boxes = [label.get_window_extent() for label in _shown(axis)]
            for i, box in enumerate(boxes):
                for other in boxes[:i]:
                    assert not box.overlaps(other), [label.get_text() for label in _shown(axis)]


def texts(figure) -> list[str]:
    """Return every text of a figure."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def _shown(axis) -> list[Text]:
    low, high = sorted(axis.get_view_interval())
    ticks = axis.get_major_ticks()
    inside = [tick for tick in ticks if low <= tick.get_loc() <= high]
    labels = [label for tick in inside for label in (tick.label1, tick.label2)]
    return [label for label in labels if label.get_visible() and label.get_text()]
