"""What the documentation site does with pages that are written to be read on GitHub.

MkDocs calls these functions (``hooks`` of mkdocs.yml). Pages stay as they are: files of the
repository that stand outside this folder become pages, links between all of them are put right,
the notebook becomes a page, and a comment ``<!-- ::: name -->`` becomes the docstring of that name.
"""

from __future__ import annotations

import base64
import posixpath
import re
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/RESULTS.md": "results.md",
    "LICENSE": "licence.md",
    "CITATION.cff": "citation.md",
    ".env.example": "env_example.md",
    "deploy/values.yaml": "deploy_values.md",
    "deploy/cluster.yaml": "deploy_cluster.md",
}
"""Files outside docs, and the pages that they become."""

_LINK = re.compile(r"(?<=\]\()([^)#:\s]+)(?=[)#])")
_CODE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)
_STYLE = re.compile(r"<style.*?</style>", re.DOTALL)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that stand outside docs, and the notebooks with their pictures."""
    for outside, page in OUTSIDE.items():
        text = (ROOT / outside).read_text(encoding="utf-8")
        if not outside.endswith(".md"):
            text = f"# {outside}\n\n```text\n{text}```\n"
        files.append(File.generated(config, page, content=text))
    for file in [one for one in files if one.src_uri.endswith(".ipynb")]:
        files.remove(file)
        name = file.src_uri.removesuffix(".ipynb")
        text, pictures = notebook_page(ROOT / "docs" / file.src_uri)
        files.append(File.generated(config, f"{name}.md", content=text))
        for picture, content in pictures.items():
            files.append(File.generated(config, picture, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, files: Files, **_: Any) -> str:
    """Put links right, and what GitHub's Markdown and this one read otherwise."""
    source = _in_repository(page.file.src_uri)
    parts = _CODE.split(markdown)
    for at in range(0, len(parts), 2):
        text = _LINK.sub(lambda link: _relink(link[1], source, page.file.src_uri, files), parts[at])
        text = re.sub(r"^<!-- ::: (\S+) -->$", r"::: \1", text, flags=re.MULTILINE)
        parts[at] = re.sub(r"^(<!--.*-->)\n(?=\|)", r"\1\n\n", text, flags=re.MULTILINE)
    return "".join(parts)


def _in_repository(page: str) -> str:
    """Give the path in the repository of what a page is made of."""
    of_page = {page: outside for outside, page in OUTSIDE.items()}
    return of_page.get(page, f"docs/{page}")


def _relink(link: str, source: str, page: str, files: Files) -> str:
    """Give a link of a file of the repository as one of a page of the site."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    if target in OUTSIDE:
        found = OUTSIDE[target]
    else:
        found = target.removeprefix("docs/").replace(".ipynb", ".md")
        if target.startswith("docs/") and (ROOT / target).is_dir():
            pages = sorted(one.src_uri for one in files if one.src_uri.startswith(f"{found}/"))
            readme = f"{found}/README.md"
            found = readme if readme in pages else pages[0]
    # What is no page is left as it stands, for MkDocs to complain of.
    return posixpath.relpath(found, posixpath.dirname(page) or ".") if found else link


@cache
def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """Write a notebook with its stored outputs as Markdown, and name its pictures."""
    parts, pictures = [], {}
    for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            data = output.get("data", {"text/plain": output.get("text", "")})
            if "image/png" in data:
                name = f"pictures/{path.stem}_{number}.png"
                pictures[name] = base64.b64decode(data["image/png"])
                parts.append(f"![Output]({name})")
            elif "text/html" in data:
                html = _STYLE.sub("", data["text/html"]).strip()
                parts.append(html.replace(' border="1" class="dataframe"', ""))
            else:
                parts.append(f"```text\n{data['text/plain'].rstrip()}\n```")
    return "\n\n".join(parts) + "\n", pictures
