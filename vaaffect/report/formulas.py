"""TeX in Markdown becomes MathML, so that a page works offline and without a script for it."""

import html as escaping
import re
from collections.abc import Callable

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


def with_mathml(markdown: str, render: Callable[[str], str], left: list[str]) -> str:
    """Markdown as HTML with its formulas as MathML; in tags (ids, alternatives) as plain words.

    While `render`, which makes HTML of Markdown, runs, a word that no Markdown rule changes stands
    for each formula. Escaped and lone dollars are kept from it in the same way, since it would pair
    them up. `left` gets the TeX that could not be converted, which the page shows as it is.
    """
    kept: list[tuple[str, str]] = []  # (what the page shows, what an attribute says)

    def take(match: re.Match) -> str:
        if match["code"] is not None:
            return match.group()
        if match["escaped"] or match["lone"]:
            kept.append(("$", "$"))
        else:
            tex = (match["display"] or match["environment"] or match["inline"]).strip()
            try:
                shown = to_mathml(tex, display=match["inline"] is None)
            except ValueError:
                left.append(tex)
                shown = f'<code class="tex">{escaping.escape(tex)}</code>'
            kept.append((shown, re.sub(r"\W+", "-", tex)))
        return f"vaformula{len(kept) - 1}end"

    def put_back(match: re.Match) -> str:
        in_tag = match["tag"] is not None
        return re.sub(r"vaformula(\d+)end", lambda m: kept[int(m[1])][in_tag], match.group())

    page = render(MARKDOWN_PARTS.sub(take, markdown))
    return re.sub(r"(?P<tag><[^<>]*>)|[^<]+", put_back, page)


def to_mathml(tex: str, display: bool = False) -> str:
    """A TeX formula, without its dollars, as MathML; ValueError where it is not understood."""
    try:
        mathml = latex2mathml.converter.convert(tex, display="block" if display else "inline")
    except Exception as error:  # its errors share no base class
        raise ValueError(f"{tex}: {error}") from error
    if re.search(r">\\[A-Za-z]", mathml):  # an unknown command comes out as its own name
        raise ValueError(tex)
    return SIGN.sub('<mo form="prefix">', mathml)
