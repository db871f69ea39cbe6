"""Executed notebooks as pages that work offline.

nbconvert makes the pages with the template in `template/`. Formulas become MathML while a page is
built, pictures are embedded, and a page that would load anything from elsewhere is refused.
"""

import html as escaping
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert import HTMLExporter
from nbconvert.filters import clean_html
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

from ..base import UserError, in_processes, paths
from .embedding import picture_tag, saved_alt_text
from .formulas import with_mathml

LARGEST_PAGE = 3_000_000  # bytes; more is slow to open and to review
REPORT = "99_report"  # the notebook that becomes `report.html`
CARD = "_card.md"  # how the names of files beside the notebooks end that have pages too
EXTERNAL = re.compile(r"(?:^|[\s,])(?:https?:)?//", re.IGNORECASE)  # an address, or one of a srcset
_LOADING = ("src", "srcset", "data", "poster", "background", "xlink:href", "href")
_ADDRESS_IN = {  # the text of an element
    "style": re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""", re.IGNORECASE),
    "script": re.compile(r"""["'`]((?:https?:)?//[^"'`\s]+)["'`]"""),
}
# Code as pygments highlights it: escaped, in a few elements, without control characters.
_HIGHLIGHTED = re.compile(
    r"""(?:[^<&\x00-\x08\x0b-\x1f]|&(?:amp|lt|gt|quot|\#39);
       |</?(?:div|pre|span)(?:\ class="[\w\ -]*")?>)*""",
    re.VERBOSE,
)
TEMPLATE = Path(__file__).with_name("template")


def build_pages(folder: Path, sources: Sequence[Path], manifest: Mapping[str, Any]) -> list[str]:
    """Write `html/NN_x.html` for each executed notebook, and `report.html` from `99_report`.

    Args:
        folder: the report folder, with the executed copies in `notebooks/`.
        sources: the notebooks that have an executed copy, in order.
        manifest: of the study; template/index.html.j2 shows some of it.

    Returns:
        What is not as it should be, one sentence each: formulas left as TeX, large pages.

    Raises:
        UserError: a page would load something from the network, or an image is missing.
    """
    notebooks = {
        source: nbformat.read(folder / "notebooks" / source.name, as_version=4)
        for source in sources
    }
    links = [{"href": f"{source.stem}.html", "title": _title(notebook, source.stem)}
             for source, notebook in notebooks.items()]  # fmt: skip
    site = _Site(folder, [source.stem for source in sources], manifest)
    (folder / "html").mkdir(exist_ok=True)
    cards, todo = [], []  # the arguments of each page
    for path in sorted(folder.glob(f"*{CARD}")):
        cell = new_markdown_cell(path.read_text(encoding="utf-8"), id=path.stem)
        card = new_notebook(cells=[cell])
        cards.append({"href": f"{path.stem}.html", "title": _title(card, path.stem)})
        todo.append((site, f"html/{path.stem}.html", path, card, [folder], {}))
    neighbours = zip([None, *links], [*links[1:], None], strict=False)
    for (source, notebook), (previous, following) in zip(
        notebooks.items(), neighbours, strict=False
    ):
        # What is beside the sources can be linked to from a report in the repository only.
        bases = [folder / "notebooks", *[source.parent] * folder.is_relative_to(paths.ROOT)]
        near = {"previous": previous, "next": following}
        todo.append((site, f"html/{source.stem}.html", source, notebook, bases, near))
        if source.stem == REPORT:
            others = [link for link in links if link["href"] != f"{REPORT}.html"]
            facts = {"contents": others + cards, "is_report": True}
            todo.append((site, "report.html", source, _without_colophon(notebook), bases, facts))
    notes = dict(in_processes(_write, todo))
    return [note for number in sorted(notes) for note in notes[number]]


def _write(site: "_Site", *page: Any) -> list[str]:
    return site.write(*page)


@dataclass(frozen=True)
class _Site:
    """The pages of one report folder, what they all show, and what is to be noted about them."""

    folder: Path
    stems: Sequence[str]  # of the notebooks that have pages
    manifest: Mapping[str, Any]  # of the study; stands above every page

    def write(
        self, name: str, source: Path, notebook: NotebookNode, bases: list[Path],
        facts: Mapping[str, Any],
    ) -> list[str]:  # fmt: skip
        """Make a page of the executed copy of `source`, with links looked up in `bases`; returns
        what is to be noted."""
        left: list[str] = []
        is_report = bool(facts.get("is_report"))
        facts = facts | {"title": _title(notebook, source.stem)}
        facts["up"] = "../report.html" if REPORT in self.stems else None

        @pass_context
        def markdown(context: Context, text: str) -> str:
            page = with_mathml(text, partial(exporter.markdown2html, context), left)
            page = re.sub(r'<a class="anchor-link"[^>]*>.*?</a>', "", page)
            # On a phone a wide table scrolls alone, not the text around it.
            page = page.replace("<table>", '<div class="scroll"><table>')
            return page.replace("</table>", "</table></div>")

        def picture(output: NotebookNode, cell: NotebookNode) -> str:
            words = saved_alt_text(cell.source, self.folder / "figures")
            return picture_tag(output.data["image/png"], output.metadata, words)

        exporter = HTMLExporter(
            template_name=TEMPLATE.name,
            extra_template_basedirs=[str(TEMPLATE.parent)],
            filters={
                "clean_html": _clean,
                "markdown2html": markdown,
                "picture": picture,
                "relinked": partial(self._relinked, page=self.folder / name, bases=bases),
                "with_sections": _with_sections,
            },
            embed_images=True,
            exclude_input=is_report,
            exclude_input_prompt=True,
            exclude_output_prompt=True,
        )
        resources = {"metadata": {"path": str(source.parent)}, "page": facts, "run": self.manifest}
        text, _ = exporter.from_notebook_node(notebook, resources)
        for address in loads(text):
            if EXTERNAL.search(address):
                raise UserError(
                    f"{source.name}: its page would load {address} from the network; embed it in"
                    " the notebook, or link to it in words."
                )
            raise UserError(  # images that are there were embedded before
                f"{source.name} shows {address}, which is not there (paths of pictures count from"
                " the notebook's folder)."
            )
        notes = []
        if not is_report:  # its formulas are those of the page with its code
            notes += [f"{source.name}: a formula stays as TeX: {tex}" for tex in left]
        if (size := len(text.encode())) > LARGEST_PAGE:
            notes.append(
                f"{Path(name).name} has {size / 1e6:.1f} MB; smaller figures would make it lighter."
            )
        (self.folder / name).write_text(text, encoding="utf-8")
        return notes

    def _relinked(self, body: str, page: Path, bases: list[Path]) -> str:
        """Point relative links at what they mean, seen from the page's folder: to another notebook
        or a card (now pages), or to a file in one of the folders `bases`."""

        def replace(match: re.Match) -> str:
            target, mark, fragment = escaping.unescape(match[1]).partition("#")
            if not target or re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//|/", target):
                return match.group()
            stem = target.removeprefix("./").removesuffix(".ipynb")
            files = (base / target for base in bases)
            new = next((file for file in files if file.exists()), None)
            if target.endswith(".ipynb") and stem in self.stems:
                new = self.folder / "html" / f"{stem}.html"
            elif new is None:
                return match.group()
            elif new.name.endswith(CARD):
                new = self.folder / "html" / f"{new.stem}.html"
            address = Path(os.path.relpath(new, page.parent)).as_posix() + mark + fragment
            return f'href="{escaping.escape(address)}"'

        return re.sub(r'href="([^"]*)"', replace, body)


def _without_colophon(notebook: NotebookNode) -> NotebookNode:
    """The report without what its header says too, and without the number of its notebook."""
    report = nbformat.from_dict(notebook)
    report.cells = [c for c in report.cells if "colophon" not in c.metadata.get("tags", [])]
    for cell in report.cells:
        cell.source = re.sub(r"\A# \d\d\. ", "# ", cell.source)
    return report


def _clean(html: str) -> str:
    """As nbconvert's filter, which parses what is clean already, for two seconds in a study."""
    if _HIGHLIGHTED.fullmatch(html):
        return html.replace("&quot;", '"').replace("&#39;", "'")
    return clean_html(html)


def _with_sections(body: str) -> str:
    """A page's body with a list of its sections before the first one."""
    sections = re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', body, re.DOTALL)
    if not sections:
        return body
    links = "".join(f'<li><a href="#{anchor}">{text}</a></li>' for anchor, text in sections)
    first = body.index("<h2 ")
    return f'{body[:first]}<nav class="sections"><ol>{links}</ol></nav>{body[first:]}'


def _title(notebook: NotebookNode, stem: str) -> str:
    """The text of a notebook's first heading."""
    for cell in notebook.cells:
        heading = re.search(r"^#\s+(.+?)\s*#*$", cell.source, re.MULTILINE)
        if cell.cell_type == "markdown" and heading:
            return re.sub(r"[`*$]", "", heading[1])
    return stem


def loads(page: str) -> list[str]:
    """What a browser would fetch by itself, from other machines or from files beside the page;
    links that a reader may follow do not count."""
    parser = _Loads()
    parser.feed(page)
    parser.close()
    return parser.addresses


class _Loads(HTMLParser):
    """Collects `addresses`; it needs no tree of the page's elements, which would take longer."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self._code: re.Pattern | None = None  # what to look for in the open element's text
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_endtag(tag)
        self._code = _ADDRESS_IN.get(tag)
        for name, value in dict(attrs).items():
            followed = name == "href" and tag not in ("link", "image", "use", "base")
            address = (value or "").strip()
            if name == "style":
                self.addresses += _ADDRESS_IN["style"].findall(address)
            elif name in _LOADING and address and not followed:
                self.addresses += [address] * (not address.startswith(("data:", "#")))

    def handle_data(self, data: str) -> None:
        if self._code is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if self._code is not None:
            self.addresses += self._code.findall("".join(self._text))
            self._code, self._text = None, []

    def close(self) -> None:
        super().close()
        self.handle_endtag("")
