"""Pages: formulas, links, and nothing from the network."""

import base64
import re
from html.parser import HTMLParser

import cv2
import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from vaaffect.base.errors import UserError
from vaaffect.report.formulas import to_mathml, with_mathml
from vaaffect.report.pages import build_pages, loads

PIXEL = cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes()
MANIFEST = {
    "profile": "small", "title": "a <toy>", "simulated": True, "finished": "2025-01-02T03:04:05Z",
    "commit": "0123456789abcdef", "dirty": False, "seconds": {"00": 121.0, "99": 58.0},
    "device": {"cpu": "A <processor>", "threads": 2},
}  # fmt: skip


class Site:
    """A report folder with executed copies, made without executing anything."""

    def __init__(self, folder):
        self.out = folder / "out"
        self.sources = folder / "notebooks"
        self.names, self.manifest = [], MANIFEST
        self.sources.mkdir()
        (self.out / "notebooks").mkdir(parents=True)

    def add(self, name, *cells):
        notebook = new_notebook(cells=list(cells))
        nbformat.write(notebook, self.out / "notebooks" / f"{name}.ipynb")
        self.names.append(name)

    def build(self, **changes):
        paths = [self.sources / f"{name}.ipynb" for name in self.names]
        self.notes = build_pages(self.out, paths, self.manifest | changes)
        return self

    def page(self, name):
        return (self.out / name).read_text()


def shown(source, *outputs):
    return new_code_cell(source, outputs=list(outputs), execution_count=1)


def picture():
    data = {"image/png": base64.b64encode(PIXEL).decode(), "text/plain": "<Figure>"}
    return new_output("display_data", data=data)


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.fixture
def whole(site):
    table = "<table border='1' class='dataframe'><thead><tr><th>CCC</th></tr></thead></table>"
    site.add(
        "00_start",
        new_markdown_cell("# Start $x$\n\nA [paper](https://example.org/a) and $\\rho_c$."),
        shown("secret_code = 1", new_output("display_data", data={"text/html": table}), picture()),
    )
    site.add("03_train", new_markdown_cell("# Training\n\n[back](00_start.ipynb#Start)"))
    finding = new_output("display_data", data={"text/markdown": "CCC is **0.5**, $r^2$"})
    verdict = new_markdown_cell("# The verdict\n\nSee [training](03_train.ipynb).")
    site.add("99_report", verdict, shown("hidden_code = 2", finding))
    return site.build()


def test_pages_load_nothing(whole):
    pages = list(whole.out.rglob("*.html"))
    assert len(pages) == 4
    for page in pages:
        text = page.read_text()
        assert list(loads(text)) == []
        assert "<script" not in text
        assert len(text) < 50_000
    assert whole.notes == []


def test_the_report_has_no_code_and_the_notebooks_have(whole):
    report = whole.page("report.html")
    assert "hidden_code" not in report
    assert "hidden_code" in re.sub(r"<[^>]+>", "", whole.page("html/99_report.html"))
    assert "<strong>0.5</strong>" in report and report.count("<math") == 1
    assert "data:image/" in whole.page("html/00_start.html")


def test_the_report_has_no_number_in_its_title_and_a_list_of_its_sections(site):
    site.add("00_start", new_markdown_cell("# Start\n\n## Part"))
    site.add(
        "99_report",
        new_markdown_cell("# 99. What is it?\n\nSo far."),
        new_markdown_cell("## The $x$ part\n\n## Last"),
        shown("print(1)", new_output("stream", text="a colophon")),
    )
    notebook = nbformat.read(site.out / "notebooks" / "99_report.ipynb", as_version=4)
    notebook.cells[-1].metadata["tags"] = ["colophon"]
    nbformat.write(notebook, site.out / "notebooks" / "99_report.ipynb")
    report = site.build().page("report.html")
    assert "<title>What is it?</title>" in report and "99. What" not in report
    sections = re.search(r'<nav class="sections">(.*?)</nav>', report)[1]
    for anchor in re.findall(r'href="#([^"]+)"', sections):
        assert f'<h2 id="{anchor}">' in report
    assert sections.count("<li>") == 2 and "<math" in sections and "Last" in sections
    assert report.index("So far") < report.index('class="sections"') < report.index("<h2 id")
    assert "a colophon" not in report and "a colophon" in site.page("html/99_report.html")
    assert "99. What is it?" in site.page("html/99_report.html")
    assert 'class="sections"' not in site.page("html/00_start.html")


def test_cards_become_pages_that_the_report_links_to(site):
    (site.out / "model_card.md").write_text(
        "# Model card\n\nSee [data](data_card.md).\n\n|a|\n|-|\n"
    )
    (site.out / "data_card.md").write_text("# Data card\n\nOf the corpora.")
    site.add("99_report", new_markdown_cell("# R\n\n[the card](../model_card.md)"))
    report = site.build().page("report.html")
    assert 'href="html/model_card.html">Model card' in report
    assert 'href="html/model_card.html">the card' in report
    assert 'href="data_card.html"' in site.page("html/model_card.html")
    assert "<title>Data card</title>" in site.page("html/data_card.html")
    assert list(loads(site.page("html/model_card.html"))) == []
    before = site.page("html/model_card.html")
    assert site.build().page("html/model_card.html") == before


def test_navigation(whole):
    report = whole.page("report.html")
    assert 'href="html/00_start.html"' in report and 'href="html/03_train.html"' in report
    middle = whole.page("html/03_train.html")
    for link in ("../report.html", "00_start.html", "99_report.html"):
        assert f'href="{link}"' in middle


def test_every_relative_link_leads_somewhere(whole):
    for page in whole.out.rglob("*.html"):
        for address in re.findall(r'href="([^"]+)"', page.read_text()):
            if not re.match(r"https?:|#", address):
                assert (page.parent / address.split("#")[0]).exists(), (page.name, address)
    assert 'href="html/03_train.html"' in whole.page("report.html")
    assert 'href="00_start.html#Start"' in whole.page("html/03_train.html")


def test_links_to_results_are_seen_from_the_page(site):
    (site.out / "tables").mkdir()
    (site.out / "tables" / "a.csv").touch()
    site.add("99_report", new_markdown_cell("# R\n\n[table](../tables/a.csv), [no](../none.csv)"))
    site.build()
    assert 'href="tables/a.csv"' in site.page("report.html")
    assert 'href="../tables/a.csv"' in site.page("html/99_report.html")


def test_header_and_banner(whole, site):
    report = whole.page("report.html")
    assert "<title>The verdict</title>" in report
    assert "small · a &lt;toy&gt;" in report
    facts = "finished 2025-01-02 · commit 01234567 · steps took 3 min in all on A &lt;processor&gt;"
    assert f"{facts}, 2 threads<" in report
    assert "Simulated data." in report
    assert "Simulated data." in whole.page("html/00_start.html")
    site.build(simulated=False, commit=None, device={"gpu": "A card", "threads": 2}, seconds={})
    report = site.page("report.html")
    assert "Simulated data." not in report
    assert "2025-01-02 · steps took 1 min in all on A card<" in report
    assert "Licensed faces" not in report
    for name in ("report.html", "html/00_start.html"):
        assert "Do not pass this on." in site.build(simulated=False, faces=True).page(name)
        assert "no picture of them" in site.build(simulated=False, faces=False).page(name)
    site.manifest = {}
    assert '<p class="facts">steps took 1 min in all on a CPU</p>' in site.build().page(
        "report.html"
    )


def test_without_a_report_there_are_still_pages(site):
    site.add("00_start", new_markdown_cell("no heading"))
    site.build()
    assert not (site.out / "report.html").exists()
    assert "<title>00_start</title>" in site.page("html/00_start.html")
    assert "report.html" not in site.page("html/00_start.html")


def test_what_would_be_loaded_is_refused(site):
    cell = '<script src="https://cdn.example.org/x.js"></script>'
    site.add("00_start", shown("x", new_output("display_data", data={"text/html": cell})))
    with pytest.raises(UserError, match=r"00_start\.ipynb: .*cdn\.example\.org"):
        site.build()


def test_a_missing_image_is_named_and_a_present_one_embedded(site):
    site.add("00_start", new_markdown_cell("# S\n\n![a face](pictures/face.png)"))
    (site.sources / "pictures").mkdir()
    (site.sources / "pictures" / "face.png").write_bytes(PIXEL)
    site.build()
    assert "data:image/png;base64" in site.page("html/00_start.html")
    (site.sources / "pictures" / "face.png").unlink()
    with pytest.raises(UserError, match=r"face\.png, which is not there"):
        site.build()


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ('<a href="https://a.org">x</a>', []),
        ('<img src="https://a.org/x.png">', ["https://a.org/x.png"]),
        ('<img src="//a.org/x.png">', ["//a.org/x.png"]),
        ('<img src="data:image/png;base64,//aa">', []),
        ('<img srcset="a.png 1x, http://a.org/b.png 2x">', ["a.png 1x, http://a.org/b.png 2x"]),
        ('<link rel="stylesheet" href="http://a.org/x.css">', ["http://a.org/x.css"]),
        ("<style>@import 'https://a.org/x.css';</style>", ["https://a.org/x.css"]),
        ("<style>a { background: url(https://a.org/x) }</style>", ["https://a.org/x"]),
        ('<p style="background: url(//a.org/x)">', ["//a.org/x"]),
        ('<script>import("https://a.org/x.js")</script>', ["https://a.org/x.js"]),
        ("<pre>wget https://a.org/x</pre>", []),
    ],
)
def test_loads(page, expected):
    assert list(loads(page)) == expected


def rendered(site, markdown):
    site.add("00_start", new_markdown_cell(markdown))
    page = site.build().page("html/00_start.html")
    return page[page.index("<main>") : page.index("</main>")]


@pytest.mark.parametrize(
    ("markdown", "formulas", "kept"),
    [
        ("a $x_1$ b", 1, []),
        ("$a$, $b$ and $c$", 3, []),
        ("$$\n\\frac{a}{b}\n$$", 1, ["block"]),
        ("in text $$x$$ too", 1, ["block"]),
        ("\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}", 1, ["block"]),
        ("it costs $5 and $10", 0, ["$5 and $10"]),
        ("from $5 to 6$ a piece", 1, []),  # as in pandoc: only a digit after it keeps it text
        ("5$ and 6$", 0, ["5$ and 6$"]),
        ("$ x $", 0, ["$ x $"]),
        ("\\$x\\$ and \\$3", 0, ["$x$ and $3"]),
        ("$5 *each* and $6", 0, ["<em>each</em>"]),
        ("`$x$` and $y$", 1, ["<code>$x$</code>"]),
        ("`` a`$x$ `` then `$HOME` and `$PATH`", 0, ["<code>$HOME</code>"]),
        ("```\n$x$\n```\n\n$y$", 1, ["$x$"]),
        ("```python\nprice = '$x$'\n```", 0, []),
        ("~~~\n$x$\n~~~", 0, ["$x$"]),
        ("<pre>$x$</pre>", 0, ["$x$"]),
        ("$a\n+ b$", 1, []),
        ("$a\n\nb$", 0, ["$a", "b$"]),
        ("| a | b |\n|---|---|\n| $|x|$ | $y_1$ |", 2, ["<table>"]),
        ("$a*b*c$ and $d_e f_g$", 2, []),
        ("## The $\\rho_c$ of it", 1, ["<h2"]),
        ("![the $x$ axis](data:image/png;base64,AAAA)", 0, ['alt="the x axis"']),
        ("$x<y$ and $y>z$", 2, []),
        ("[a $x$ link](https://a.org/?q=$1)", 1, ['href="https://a.org/?q=$1"']),
    ],
)
def test_formulas_in_markdown(site, markdown, formulas, kept):
    body = rendered(site, markdown)
    assert body.count("<math") == body.count("</math>") == formulas
    assert "vaformula" not in body
    for text in kept:
        assert text in body


def test_pages_are_well_formed_around_formulas(site):
    class Balanced(HTMLParser):
        open: list = []  # noqa: RUF012

        def handle_startendtag(self, tag, attrs):
            assert tag in ("meta", "img", "br", "hr", "link", "input")

        def handle_starttag(self, tag, attrs):
            self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    site.add("00_start", new_markdown_cell('# On $a_b$ "and" $\\frac{x}{y}$\n\n$$x < \\hat{y}$$'))
    parser = Balanced()
    parser.feed(site.build().page("html/00_start.html"))
    assert parser.open == []


@pytest.mark.parametrize(
    "tex",
    [
        r"\rho_c = \frac{2\rho\sigma_x\sigma_y}{\sigma_x^2 + \sigma_y^2 + (\mu_x - \mu_y)^2}",
        r"\sqrt{\frac{1}{n}\sum_{i=1}^{n} (\hat{y}_i - y_i)^2}",
        r"\operatorname{sign}(\hat{y}) \in [-1, 1]^2, \quad \lVert x \rVert_2 \le \text{so}",
        r"\begin{cases} 1 & x > 0 \\ 0 & \text{else} \end{cases}",
        r"\mathbb{E}\left[ \mathcal{L} \right] \approx \bar{x} \pm 0.1 \cdot \theta \nabla",
    ],
)
def test_to_mathml(tex):
    mathml = to_mathml(tex, display=True)
    assert mathml.startswith("<math") and 'display="block"' in mathml
    assert "\\" not in mathml


@pytest.mark.parametrize(
    ("tex", "signs"),
    [("[-1, 1]", 1), ("-x", 1), ("a - b", 0), ("(a) - b", 0), ("x = -1", 1), ("|x| - 1", 0)],
)
def test_a_sign_stands_close_to_its_number(tex, signs):
    assert to_mathml(tex).count('form="prefix">&#x02212;') == signs


def test_an_unknown_command_stays_as_tex_and_is_reported(site):
    with pytest.raises(ValueError, match="nonsense"):
        to_mathml(r"\nonsense{x}")
    body = rendered(site, r"a $\nonsense{x} < 1$ b")
    assert '<code class="tex">\\nonsense{x} &lt; 1</code>' in body
    assert site.notes == ["00_start.ipynb: a formula stays as TeX: \\nonsense{x} < 1"]


def test_what_is_no_formula_stays_as_it_is():
    text = "costs $5 or \\$6, `$x$`"
    assert with_mathml(text, str, []) == "costs $5 or $6, `$x$`"


def test_latex_outputs_become_formulas(site):
    output = new_output("display_data", data={"text/latex": "$\\displaystyle x^2$"})
    site.add("00_start", shown("x", output))
    assert "<msup>" in site.build().page("html/00_start.html")


def test_a_large_page_is_reported(site, monkeypatch):
    monkeypatch.setattr("vaaffect.report.pages.LARGEST_PAGE", 100_000)
    site.add("00_start", new_markdown_cell("x " * 100_000))
    assert "00_start.html has 0.2 MB" in site.build().notes[0]
