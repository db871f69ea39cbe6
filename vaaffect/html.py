"""Executed notebooks as pages that open without a network.

nbconvert makes the body of each page; everything around it is here. Formulas become MathML while
the page is built, images are embedded, and a page that would load anything from elsewhere is
refused.
"""

import html as escaping
import os
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import latex2mathml.converter
import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from . import paths
from .errors import UserError
from .progress import clock

LARGEST_PAGE = 3_000_000  # bytes; more is slow to open and to review
STYLE = Path(__file__).with_name("pages.css")
SIMULATED = (
    "<strong>Simulated data.</strong> The faces were drawn by the simulator. What is measured here"
    " is evidence about the simulator and the methods, not about people."
)

# What is code in Markdown comes first: a dollar in it is a dollar.
MARKDOWN_PARTS = re.compile(
    r"""(?P<code>^\ {0,3}(?P<fence>`{3,}|~{3,})[\s\S]*?(?:^\ {0,3}(?P=fence)[`~]*\ *$|\Z)
               |(?<!`)(?P<ticks>`+)(?!`)[\s\S]*?(?<!`)(?P=ticks)(?!`)
               |<(?P<tag>pre|code)\b[\s\S]*?</(?P=tag)>)
      |(?P<escaped>\\\$)
      |\$\$(?P<display>[\s\S]+?)\$\$
      |(?P<environment>\\begin\{(?P<name>[a-z]+\*?)\}[\s\S]+?\\end\{(?P=name)\})
      |\$(?P<inline>(?!\s)(?:\\[^$]|[^$`\\\n]|\n(?!\s*\n))*?(?:\\[^\s$]|[^\s$`\\]))\$(?!\d)
      |(?P<lone>\$)""",
    re.MULTILINE | re.VERBOSE,
)
# A minus after another operator that closes nothing is a sign and stands close: [-1, 1].
SIGN = re.compile(
    r"(?:(?<=<mrow>)|(?<=</mo>)(?<!\]</mo>)(?<!&#x00029;</mo>)(?<!&#x0007[CD];</mo>))"
    r"<mo>(?=(?:&#x02212;|&#x0002B;)</mo>)"
)


def build_pages(folder: Path, sources: Sequence[Path], manifest: Mapping[str, Any]) -> list[str]:
    """Write `html/NN_x.html` for each executed notebook, and `report.html` from `99_report`.

    Args:
        folder: the report folder, with the executed copies in `notebooks/`.
        sources: the notebooks that have an executed copy, in order.
        manifest: profile, title, simulated, finished, commit, seconds and device are shown.

    Returns:
        What is not as it should be, one sentence each: formulas left as TeX, large pages.

    Raises:
        UserError: a page would load something from the network, or an image is missing.
    """
    notebooks = {
        source.stem: nbformat.read(folder / "notebooks" / source.name, as_version=4)
        for source in sources
    }
    titles = {stem: _title(notebook, stem) for stem, notebook in notebooks.items()}
    has_report = "99_report" in notebooks
    notes: list[str] = []
    (folder / "html").mkdir(exist_ok=True)
    wanted = [(source, folder / "html" / f"{source.stem}.html", True) for source in sources]
    wanted += [
        (source, folder / "report.html", False) for source in sources if source.stem == "99_report"
    ]
    for source, page, with_code in wanted:
        stem = source.stem
        body, left = _body(notebooks[stem], source.parent, with_code)
        if with_code:  # a formula of the report would be named twice
            notes += [f"{source.name}: a formula stays as TeX: {tex}" for tex in left]
        body = _relink(body, page.parent, folder, source.parent, set(notebooks))
        if with_code:
            navigation = _between(stem, titles, has_report)
        else:
            navigation = _contents({name: t for name, t in titles.items() if name != stem})
        text = _page(titles[stem], body, navigation, manifest)
        _check_loads(source, text)
        if len(text.encode()) > LARGEST_PAGE:
            size = len(text.encode()) / 1e6
            notes.append(f"{page.name} has {size:.1f} MB; smaller figures would make it lighter.")
        page.write_text(text, encoding="utf-8")
    return notes


def _body(notebook: NotebookNode, images: Path, with_code: bool) -> tuple[str, list[str]]:
    """The body of a page, and the formulas that could not be turned into MathML."""
    notebook = nbformat.from_dict(notebook)
    formulas = Formulas()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = formulas.take(cell.source)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/markdown" in data:
                data["text/markdown"] = formulas.take(data["text/markdown"])
            if "text/latex" in data and "text/html" not in data:
                data["text/html"] = formulas.take(data.pop("text/latex"))
    exporter = HTMLExporter(
        template_name="lab",
        embed_images=True,
        exclude_input=not with_code,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    exporter.template_file = "base.html.j2"  # the cells alone, without the page around them
    body, _ = exporter.from_notebook_node(notebook, {"metadata": {"path": str(images)}})
    body = re.sub(r'<a class="anchor-link"[^>]*>.*?</a>', "", body)
    return formulas.put(body), formulas.left


class Formulas:
    """Takes formulas out of Markdown before it is rendered, and puts them back as MathML.

    In between, a word stands for each, which no Markdown rule changes. Escaped and lone dollars are
    kept out of the renderer's sight in the same way, since it would pair them up.
    """

    def __init__(self) -> None:
        self.kept: list[tuple[str, str]] = []  # (what the page shows, what an attribute says)
        self.left: list[str] = []  # TeX that could not be converted

    def take(self, markdown: str) -> str:
        """Markdown with a word in place of each formula and dollar."""
        return MARKDOWN_PARTS.sub(self._replace, markdown)

    def put(self, page: str) -> str:
        """HTML with the formulas in their places; in tags (ids, alternatives) as plain words."""

        def restore(match: re.Match) -> str:
            in_tag = match["tag"] is not None
            return re.sub(
                r"vaformula(\d+)end", lambda m: self.kept[int(m[1])][in_tag], match.group()
            )

        return re.sub(r"(?P<tag><[^<>]*>)|[^<]+", restore, page)

    def _replace(self, match: re.Match) -> str:
        if match["code"] is not None:
            return match.group()
        if match["escaped"] or match["lone"]:
            self.kept.append(("$", "$"))
        else:
            tex = match["display"] or match["environment"] or match["inline"]
            display = match["inline"] is None
            self.kept.append((self._convert(tex.strip(), display), re.sub(r"\W+", "-", tex)))
        return f"vaformula{len(self.kept) - 1}end"

    def _convert(self, tex: str, display: bool) -> str:
        try:
            mathml = to_mathml(tex, display)
        except ValueError:
            self.left.append(tex)
            return f'<code class="tex">{escaping.escape(tex)}</code>'
        return mathml


def to_mathml(tex: str, display: bool = False) -> str:
    """A TeX formula, without its dollars, as MathML.

    Raises:
        ValueError: a part of it is not understood.
    """
    try:
        mathml = latex2mathml.converter.convert(tex, display="block" if display else "inline")
    except Exception as error:  # its errors share no base class
        raise ValueError(f"{tex}: {error}") from error
    if re.search(r">\\[A-Za-z]", mathml):  # an unknown command comes out as its own name
        raise ValueError(tex)
    return SIGN.sub('<mo form="prefix">', mathml)


class _Loads(HTMLParser):
    """Collects what a browser would fetch by itself when it opens a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []  # on other machines
        self.local: list[str] = []  # files beside the page
        self._tag = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        for name, value in attrs:
            value = (value or "").strip()
            loads = name in ("src", "srcset", "data", "poster", "background", "xlink:href")
            loads = loads or (name == "href" and tag in ("link", "image", "use", "base"))
            if loads and value and not value.startswith(("data:", "#")):
                outside = re.search(r"(?:^|[\s,])(?:https?:)?//", value, re.IGNORECASE)
                (self.found if outside else self.local).append(value)
            if name == "style":
                self._css(value)

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""

    def handle_data(self, data: str) -> None:
        if self._tag == "style":
            self._css(data)
        if self._tag == "script":
            self.found += re.findall(r"""["'`]((?:https?:)?//[^"'`\s]+)["'`]""", data)

    def _css(self, text: str) -> None:
        address = r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)"""
        self.found += re.findall(address, text, re.IGNORECASE)


def external_loads(page: str) -> list[str]:
    """The addresses that opening a page fetches; links that a reader may follow do not count."""
    parser = _Loads()
    parser.feed(page)
    return parser.found


def _check_loads(source: Path, page: str) -> None:
    parser = _Loads()
    parser.feed(page)
    if parser.found:
        raise UserError(
            f"{source.name}: its page would load {parser.found[0]} from the network; embed it in"
            " the notebook, or link to it in words."
        )
    if parser.local:  # images that are there were embedded before
        raise UserError(
            f"{source.name} shows {parser.local[0]}, which is not there (paths of pictures count"
            " from the notebook's folder)."
        )


def _relink(body: str, page: Path, folder: Path, sources: Path, pages: set[str]) -> str:
    """Point relative links at what they mean, seen from the page's folder.

    Links are written in a notebook: to another notebook (now a page), to something in the report
    folder beside the executed copies, or to something in the repository beside the sources.
    """

    def replace(match: re.Match) -> str:
        target, mark, fragment = escaping.unescape(match[1]).partition("#")
        if not target or re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//|/", target):
            return match.group()
        stem = target.removeprefix("./").removesuffix(".ipynb")
        if target.endswith(".ipynb") and stem in pages:
            new = Path(folder / "html" / f"{stem}.html")
        elif (folder / "notebooks" / target).exists():
            new = folder / "notebooks" / target
        elif (sources / target).exists() and folder.is_relative_to(paths.ROOT):
            new = sources / target
        else:
            return match.group()
        address = Path(os.path.relpath(new, page)).as_posix() + mark + fragment
        return f'href="{escaping.escape(address)}"'

    return re.sub(r'href="([^"]*)"', replace, body)


def _title(notebook: NotebookNode, stem: str) -> str:
    """The text of a notebook's first heading."""
    for cell in notebook.cells:
        heading = re.search(r"^#\s+(.+?)\s*#*$", cell.source, re.MULTILINE)
        if cell.cell_type == "markdown" and heading:
            return re.sub(r"[`*$]", "", heading[1])
    return stem


def _between(stem: str, titles: Mapping[str, str], has_report: bool) -> str:
    """Links from a notebook's page to the report and to its neighbours."""
    stems = list(titles)
    index = stems.index(stem)
    links = ['<a class="up" href="../report.html">Report</a>'] if has_report else []
    if index > 0:
        links.append(_link(f"{stems[index - 1]}.html", f"← {titles[stems[index - 1]]}", "prev"))
    if index + 1 < len(stems):
        links.append(_link(f"{stems[index + 1]}.html", f"{titles[stems[index + 1]]} →", "next"))
    return f'<nav class="between">{"".join(links)}</nav>'


def _contents(titles: Mapping[str, str]) -> str:
    """Links from the report to the notebooks' pages."""
    items = [
        f'<li><span class="nn">{stem[:2]}</span>{_link(f"html/{stem}.html", title)}</li>'
        for stem, title in titles.items()
    ]
    return (
        '<nav class="contents"><h2>The notebooks behind it, with their code</h2>'
        f"<ul>{''.join(items)}</ul></nav>"
    )


def _link(address: str, text: str, name: str = "") -> str:
    kind = f' class="{name}"' if name else ""
    return f'<a{kind} href="{escaping.escape(address)}">{escaping.escape(text)}</a>'


def _page(title: str, body: str, navigation: str, manifest: Mapping[str, Any]) -> str:
    """A whole page."""
    banner = f'<p class="banner">{SIMULATED}</p>' if manifest.get("simulated") else ""
    commit = manifest.get("commit")
    device = manifest.get("device", {})
    facts = [
        f"finished {manifest.get('finished', '')[:10]}" if manifest.get("finished") else "",
        f"commit {commit[:8]}{' with changes' if manifest.get('dirty') else ''}" if commit else "",
        f"took {clock(sum(manifest.get('seconds', {}).values()))} on {_device(device)}",
    ]
    profile = f"{manifest.get('profile', '')} · {manifest.get('title', '')}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escaping.escape(title)}</title>
<style>
{STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<header>
<p class="profile">vaaffect<span>{escaping.escape(profile)}</span></p>
<p class="facts">{escaping.escape(" · ".join(fact for fact in facts if fact))}</p>
</header>
{banner}
{navigation if "between" in navigation else ""}
<main>
{body}
</main>
{navigation}
</body>
</html>
"""


def _device(device: Mapping[str, Any]) -> str:
    if device.get("gpu"):
        return str(device["gpu"])
    threads = f", {device['threads']} threads" if device.get("threads") else ""
    return f"{device.get('cpu', 'a CPU')}{threads}"
