"""Sets a page in Chinese from a template and what it says; the same input is the same PDF.

User text reaches the page as data and is never read as markup. The fonts are the machine's own,
with one that is installed with us behind them.
"""

import io
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import as_file, files
from typing import Final, Literal

import segno
import typst

SAID_BYTES_MAX = 256 * 1024
PDF_BYTES_MAX = 4 * 1024 * 1024
# For the archive: everything embedded, text readable by machine and by voice.
ARCHIVAL: Final = "a-2a"
PLAIN: Final = "1.7"


class PageTooLarge(ValueError):
    """What is to be set is longer than any paper of ours."""


def typeset(template: str, inputs: Mapping[str, str], dated: datetime) -> bytes:
    """The PDF of a template that reads `sys.inputs`.

    Args:
        template: Typst source, ours and trusted.
        inputs: What it reads, as texts; nothing in them is run.
        dated: The instant the document says it was made.

    Raises:
        PageTooLarge: more goes in or comes out than a paper may have.
    """
    if sum(len(text.encode()) for text in inputs.values()) > SAID_BYTES_MAX:
        raise PageTooLarge("said")
    try:
        pdf = _compiled(template, inputs, dated, ARCHIVAL)
    except typst.TypstError:
        # A name may have a character no font here has: a box stands for it, not for the archive.
        pdf = _compiled(template, inputs, dated, PLAIN)
    if len(pdf) > PDF_BYTES_MAX:
        raise PageTooLarge("pdf")
    return pdf


def _compiled(
    template: str, inputs: Mapping[str, str], dated: datetime, standard: Literal["a-2a", "1.7"]
) -> bytes:
    # Not used twice: a compiler whose first attempt failed has lost its template.
    compiler = typst.Compiler(template.encode(), font_paths=_fonts(), sys_inputs=dict(inputs))
    pdf = compiler.compile(format="pdf", pdf_standards=standard, timestamp=int(dated.timestamp()))
    assert isinstance(pdf, bytes)
    return pdf


def code_of(address: str) -> str:
    """A QR code as SVG: still read with a sixth of it dirty or torn."""
    drawn = io.BytesIO()
    segno.make_qr(address, error="m").save(drawn, kind="svg", xmldecl=False, border=4, nl=False)
    return drawn.getvalue().decode()


@cache
def _fonts() -> typst.Fonts:
    with as_file(files("manimgx_fonts_cjk")) as folder:
        return typst.Fonts(include_embedded_fonts=False, font_paths=[str(folder)])
