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

import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

from ..base import UserError, paths
from .embedding import picture_tag, words_of_saved
from .formulas import Formulas

LARGEST_PAGE = 3_000_000  # bytes; more is slow to open and to review
CARD = r"\w+_card\.md"  # files beside the notebooks that have pages too
STYLE = Path(__file__).with_name("pages.css")
SIMULATED = (
    "<strong>Simulated data.</strong> The faces were drawn by the simulator. What is measured here"
    " is evidence about the simulator and the methods, not about people."
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
    has_report = any(map(is_report, sources))
    notes: list[str] = []
    (folder / "html").mkdir(exist_ok=True)
    cards = _cards(folder, manifest)
    wanted = [(source, folder / "html" / f"{source.stem}.html", True) for source in sources]
    wanted += [(source, folder / "report.html", False) for source in sources if is_report(source)]
    for source, page, with_code in wanted:
        stem = source.stem
        body, left = _body(notebooks[stem], source.parent, folder / "figures", with_code)
        title = titles[stem]
        if with_code:  # a formula of the report would be named twice
            notes += [f"{source.name}: a formula stays as TeX: {tex}" for tex in left]
        body = _relink(body, page.parent, folder, source.parent, set(notebooks))
        if with_code:
            navigation = _between(stem, titles, has_report)
        else:
            title = re.sub(r"^\d\d\. ", "", title)
            body = re.sub(r"(<h1[^>]*>)\d\d\. ", r"\1", body, count=1)
            body = _with_sections(body)
            navigation = _contents({n: t for n, t in titles.items() if n != stem} | cards)
        text = _page(title, body, navigation, manifest)
        _check_loads(source, text)
        if len(text.encode()) > LARGEST_PAGE:
            size = len(text.encode()) / 1e6
            notes.append(f"{page.name} has {size:.1f} MB; smaller figures would make it lighter.")
        page.write_text(text, encoding="utf-8")
    return notes


def is_report(source: Path) -> bool:
    """Whether a notebook is the one that becomes `report.html`."""
    return source.stem == "99_report"


def _cards(folder: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Write a page for each card beside the notebooks; {stem of the page: title}."""
    titles = {}
    for path in sorted(p for p in folder.glob("*.md") if re.fullmatch(CARD, p.name)):
        card = new_notebook(cells=[new_markdown_cell(path.read_text(encoding="utf-8"))])
        titles[path.stem] = _title(card, path.stem)
        body, _ = _body(card, folder, folder / "figures", with_code=False)
        body = re.sub(r'href="(\w+_card)\.md"', r'href="\1.html"', body)
        body = body.replace("<table>", '<div class="scroll"><table>')
        body = body.replace("</table>", "</table></div>")
        navigation = '<nav class="between"><a class="up" href="../report.html">Report</a></nav>'
        text = _page(titles[path.stem], body, navigation, manifest)
        (folder / "html" / f"{path.stem}.html").write_text(text, encoding="utf-8")
    return titles


def _with_sections(body: str) -> str:
    """A page's body with a list of its sections before the first one."""
    found = re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', body, re.DOTALL)
    if not found:
        return body
    links = "".join(f'<li><a href="#{anchor}">{text}</a></li>' for anchor, text in found)
    first = body.index("<h2 ")
    return f'{body[:first]}<nav class="sections"><ol>{links}</ol></nav>{body[first:]}'


def _body(
    notebook: NotebookNode, images: Path, figures: Path, with_code: bool
) -> tuple[str, list[str]]:
    """The body of a page, and the formulas that could not be turned into MathML."""
    notebook = nbformat.from_dict(notebook)
    formulas = Formulas()
    if not with_code:  # its header says the same
        notebook.cells = [
            cell for cell in notebook.cells if "colophon" not in cell.metadata.get("tags", [])
        ]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = formulas.take(cell.source)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/markdown" in data:
                data["text/markdown"] = formulas.take(data["text/markdown"])
            if "image/png" in data and "text/html" not in data:
                words = words_of_saved(cell.source, figures)
                data["text/html"] = picture_tag(data["image/png"], output.metadata, words)
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
            if re.fullmatch(CARD, new.name):
                new = folder / "html" / f"{new.stem}.html"
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
    items = [f"<li>{_link(f'html/{stem}.html', title)}</li>" for stem, title in titles.items()]
    return (
        '<nav class="contents"><h2>The notebooks behind it, with their code, and the cards</h2>'
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
    minutes = max(1, round(sum(manifest.get("seconds", {}).values()) / 60))
    facts = [
        f"finished {manifest.get('finished', '')[:10]}" if manifest.get("finished") else "",
        f"commit {commit[:8]}{' with changes' if manifest.get('dirty') else ''}" if commit else "",
        f"took {minutes} min on {_device(device)}",
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
