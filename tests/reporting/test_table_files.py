"""Four ways to write a table: each read back, with names that try to break out."""

import csv
import io
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveate.reporting.table_files import to_csv, written
from foveate.reporting.text import latex, markdown
from foveate.studies.tables import Column, Table

NASTY = (
    "<script>alert('x')</script>", 'a "quoted", name', "50 % & more_or_less #1 {x} ~ ^ \\ $y$", "a|b", "*bold* _it_",
    "line\nbreak\ttab\rreturn", "[link](http://x)", "-1", "–",
)  # fmt: skip


def table(names: tuple[str, ...], **rest: object) -> Table:
    columns = (Column("Metric", number=False), *(Column(c, name) for name in names for c in ("Mean", "Std")))
    row = ("Loss", *("-0.5" if i % 2 == 0 else "0.1" for i in range(2 * len(names))))
    return Table("A title", columns, (row, ("Missing", *([None] * 2 * len(names)))), **rest)  # type: ignore[arg-type]


class Cells(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.spans: list[list[dict[str, str | None]]] = []
        self.tags: set[str] = set()
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
            self.spans.append([])
        self.inside = tag in ("td", "th")
        if self.inside:
            self.rows[-1].append("")
            self.spans[-1].append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4, unique=True))
def test_csv_reads_back(names: list[str]) -> None:
    rows = list(csv.reader(io.StringIO(to_csv(table(tuple(names))), newline="")))
    heads = [f"{name} {c}".strip() for name in names for c in ("Mean", "Std")]
    assert rows[0] == ["Metric", *heads]
    assert rows[1] == ["Loss", *["-0.5", "0.1"] * len(names)]
    assert rows[2] == ["Missing", *[""] * 2 * len(names)]


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4, unique=True))
def test_html_cells_are_text(names: list[str]) -> None:
    page = Cells(written(table(tuple(names)), "html"))
    assert page.tags <= {"table", "caption", "thead", "tbody", "tr", "th", "td", "p"}
    assert page.rows[2] == ["Loss", *["−0.5", "0.1"] * len(names)]
    assert page.rows[3] == ["Missing", *["–"] * 2 * len(names)]
    assert sum(int(a.get("colspan") or 1) for a in page.spans[0]) == len(page.rows[1])


@pytest.mark.parametrize("name", NASTY)
def test_markdown_has_the_same_number_of_cells_in_every_line(name: str) -> None:
    text = written(table((name, "b")), "md")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 5
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {6}
    assert "<script" not in text


@pytest.mark.parametrize("name", NASTY)
def test_latex_is_escaped_and_balanced(name: str) -> None:
    text = written(table((name, "b")), "tex")
    assert text.count(r"\begin{tabular}{lrrrr}") == 1
    for line in text.splitlines():
        bare = re.sub(r"\\[\\{}&%$#_]|\$[^$]*\$", "", line)
        assert bare.count("{") == bare.count("}"), line
        assert not re.search(r"[#%~^_$<>|\"]", bare), line
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    widths = [
        sum(int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line))
        or len(re.findall(r"(?<!\\)&", line)) + 1
        for line in body
    ]
    assert widths == [4, 5, 5, 5]
    assert "$-$0.5" in text
    assert "-- &" in text


def test_escapes() -> None:
    assert latex("50 % of a_b & {c} #1 \\ ± −") == r"50 \% of a\_b \& \{c\} \#1 \textbackslash{} $\pm$ $-$"
    assert markdown("a|b*c_d`e<f>&\nx") == r"a\|b\*c\_d\`e&lt;f&gt;&amp; x"


def test_a_row_that_begins_with_a_bracket_is_no_option_of_the_line_end() -> None:
    text = written(Table("t", (Column("a", number=False), Column("b")), (("[x]", "1"), ("*", "2"))), "tex")
    assert "\n{}[x] & 1" in text
    assert "\n{}* & 2" in text


def test_sections_write_their_name_once() -> None:
    columns = (Column("Metric", number=False), Column("Arm", number=False), Column("p"))
    rows = (("A", "x", "1"), ("A", "y", "2"), ("B", "x", None))
    whole = Table("t", columns, rows, sections=True, classes=("better", "", "none"))
    page = Cells(written(whole, "html"))
    assert page.rows[1:] == [["A", "x", "1"], ["y", "2"], ["B", "x", "–"]]
    assert page.spans[1][0]["rowspan"] == "2"
    assert 'class="better"' in written(whole, "html")
    assert r"\addlinespace" in written(whole, "tex")
    assert "|  | y | 2 |" in written(whole, "md")
    assert to_csv(whole).splitlines()[2] == "A,y,2"
