"""Pieces of HTML that the page is made of: sections, figures, tables."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from typing import NamedTuple

from autocompress.report.style import FORMATS
from autocompress.report.tables import Table


class Picture(NamedTuple):
    """A figure of the page: its file's name without ending, a caption, and the SVG file."""

    name: str
    caption: str
    svg: bytes


def section(title: str, body: str, kind: str = "") -> str:
    """Return a section of the page, nothing where there is nothing to say."""
    if not body:
        return ""
    return f"<section>\n<h2>{title}</h2>\n<div class='{kind}'>\n{body}</div>\n</section>\n"


def figure(picture: Picture) -> str:
    """Return a figure with its caption and links to its files."""
    # as an image, not inline: identifiers inside one figure cannot clash with another's
    data = base64.b64encode(picture.svg).decode("ascii")
    caption = html.escape(picture.caption)
    name = html.escape(picture.name, quote=True)
    links = ", ".join(f'<a href="{name}.{kind}">{kind.upper()}</a>' for kind in FORMATS)
    return (
        f'<figure><img alt="{caption}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{caption} ({links})</figcaption></figure>\n"
    )


def table(content: Table, mark: str = "") -> str:
    """Return a table that scrolls by itself; the row whose first cell is ``mark`` stands out."""
    kinds = ["" if left else " class=n" for left in content.left]

    def cells(tag: str, row: Iterable[str]) -> str:
        pairs = zip(row, kinds, strict=True)
        return "".join(f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for cell, kind in pairs)

    head = f"<thead><tr>{cells('th', content.header)}</tr></thead>" if any(content.header) else ""
    body = "".join(
        f"<tr{' class=mark' if mark and row[0] == mark else ''}>{cells('td', row)}</tr>\n"
        for row in content.rows
    )
    return f"<div class=scroll><table>{head}<tbody>\n{body}</tbody></table></div>\n"
