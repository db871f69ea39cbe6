"""TeX in Markdown becomes MathML, so that a page needs neither a network nor a script for it."""

import html as escaping
import re

import latex2mathml.converter

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
