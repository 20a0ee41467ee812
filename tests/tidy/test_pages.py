"""Pages agree with each other: links lead somewhere, twins say the same, terms stand once."""

from pathlib import Path

import pytest

from tidy.pages import anchors, coded, links, pages, section, slug, text_of
from tidy.tree import ROOT, files_of_tests, place, sources

TWINS = (ROOT / "README.md", ROOT / "README.zh.md")


def test_there_are_pages() -> None:
    assert len(pages()) > 10
    assert set(TWINS) <= set(pages())


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_and_its_twin_have_the_same_parts_and_links() -> None:
    english, chinese = TWINS
    assert len(anchors(english)) == len(anchors(chinese))
    assert set(links(english)) - {chinese.name} == set(links(chinese)) - {english.name}
    assert [code for code in coded(text_of(english)) if code.startswith("./")] == [
        code for code in coded(text_of(chinese)) if code.startswith("./")
    ]


def test_the_readme_is_a_screen_and_a_half_and_its_figures() -> None:
    for page in TWINS:
        lines = page.read_text("utf-8").splitlines()
        assert len(lines) <= 81


def test_contributing_ends_with_how_to_add_a_rule_in_five_steps() -> None:
    page = ROOT / "CONTRIBUTING.md"
    steps = section(page, "How to add a rule")
    assert text_of(page).endswith(steps)
    assert [line[:2] for line in steps.splitlines() if line[:1].isdigit()] == [
        f"{number}." for number in range(1, 6)
    ]


def test_each_release_has_the_three_headings() -> None:
    releases = text_of(ROOT / "CHANGELOG.md").split("\n## ")[1:]
    assert releases
    for release in releases:
        headings = [line[4:] for line in release.splitlines() if line.startswith("### ")]
        assert headings == ["Policy", "Contracts", "Behaviour"]


def glossary() -> list[list[str]]:
    """Each row of the glossary: the Chinese term, English, identifier, article."""
    rows = text_of(ROOT / "docs" / "glossary.md").splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row[:1] == "|"]
    return [row for row in cells if row[0] not in {"中文", "---"}]


def test_each_term_stands_once() -> None:
    rows = glossary()
    assert len(rows) > 50
    for column in (0, 2):
        terms = [row[column] for row in rows]
        assert sorted(set(terms)) == sorted(terms)


def test_each_identifier_of_the_glossary_is_in_use() -> None:
    files = (*sources(), *files_of_tests(), *ROOT.glob("services/*/src/*/policy/*.toml"))
    code = "\n".join(f"{place(file)}\n{file.read_text('utf-8')}" for file in files).lower()
    assert not [name for row in glossary() for name in coded(row[2]) if name.lower() not in code]


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("A source has forked", "a-source-has-forked"),
        ("art. 3 · 十四五新增能耗指标", "art-3--十四五新增能耗指标"),
        ("What must be true, first", "what-must-be-true-first"),
    ],
)
def test_the_anchor_of_a_heading(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor
