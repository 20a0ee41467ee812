"""Sets a page in Chinese from a template and what it says; the same input is the same PDF.

User text reaches the page as data and is never read as markup. The fonts are the machine's own,
with one that is installed with us behind them.
"""

import io
from collections.abc import Mapping
from datetime import datetime
from functools import cache, partial
from importlib.resources import as_file, files
from typing import Final

import segno
import typst

SAID_BYTES_MAX = 256 * 1024
PDF_BYTES_MAX = 4 * 1024 * 1024
# For the archive: everything embedded, text readable by machine and by voice.
ARCHIVAL: Final = "a-2a"


class PageTooLarge(ValueError):
    """What is to be set is longer than any paper of ours."""


def typeset(template: str, inputs: Mapping[str, str], dated: datetime) -> bytes:
    """The PDF of a template that reads `sys.inputs`; it may open no file.

    Args:
        template: Typst source, ours and trusted.
        inputs: What it reads, as texts; nothing in them is run.
        dated: The instant the document says it was made.

    Raises:
        PageTooLarge: more goes in or comes out than a paper may have.
    """
    if sum(len(text.encode()) for text in inputs.values()) > SAID_BYTES_MAX:
        raise PageTooLarge("said")
    compiler = typst.Compiler(template.encode(), font_paths=_fonts(), sys_inputs=dict(inputs))
    compiled = partial(compiler.compile, format="pdf", timestamp=int(dated.timestamp()))
    try:
        pdf = compiled(pdf_standards=ARCHIVAL)
    except typst.TypstError:
        # A name may have a character no font here has: a box stands for it, not for the archive.
        pdf = compiled()
    assert isinstance(pdf, bytes)
    if len(pdf) > PDF_BYTES_MAX:
        raise PageTooLarge("pdf")
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
