"""The documentation site: it builds without a warning, and has every page and public name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import ecg_assets
from ecg_assets_tests.test_readme import PAGES, ROOT

API = (ROOT / "docs" / "api.md").read_text("utf-8")
EXTERNAL = re.compile(r"^(https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    # With --quiet it would be no error that there is a warning.
    options = ["build", "--strict", "--site-dir", str(folder)]
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", *options],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert "WARNING" not in result.stderr
    return folder


class _Page(HTMLParser):
    """Collects links, what a browser loads, and anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in {"script", "img", "iframe"} and "src" in values:
            self.loaded.append(values["src"])
        if tag == "link" and values.get("rel") in {"stylesheet", "icon", "preconnect"}:
            self.loaded.append(values["href"])


def test_every_page_is_in_the_site(site: Path) -> None:
    for page in PAGES:
        name = page.relative_to(ROOT).as_posix().removeprefix("docs/").removesuffix(".md")
        name = name.removesuffix("README") + "index" if name.endswith("README") else name
        assert (site / f"{name}.html").is_file(), page


def test_every_link_and_picture_leads_somewhere(site: Path) -> None:
    pages = {path: _Page(path.read_text("utf-8")) for path in site.rglob("*.html")}
    del pages[site / "404.html"]  # written for a root that is known when it is served
    broken = []
    for path, page in pages.items():
        for link in [*page.links, *page.loaded]:
            target, _, anchor = link.partition("#")
            if EXTERNAL.match(link) or link.startswith(("mailto:", "data:")):
                continue
            found = (path.parent / target).resolve() if target else path
            found = found / "index.html" if found.is_dir() else found
            if not found.is_file() or (anchor and anchor not in pages[found].anchors):
                broken.append((path.relative_to(site).as_posix(), link))
    assert broken == []


def test_a_browser_loads_nothing_of_another_host(site: Path) -> None:
    for path in site.rglob("*.html"):
        loaded = _Page(path.read_text("utf-8")).loaded
        assert not [one for one in loaded if EXTERNAL.match(one)], path
    styles = "".join(path.read_text("utf-8") for path in site.rglob("*.css"))
    assert not re.search(r"url\(['\"]?(https?:)?//|@import", styles)


def test_every_public_name_has_its_docstring_on_the_page(site: Path) -> None:
    anchors = _Page((site / "api.html").read_text("utf-8")).anchors
    for name in set(ecg_assets.__all__) - {"__version__"}:
        value = getattr(ecg_assets, name)
        assert {f"ecg_assets.{name}", f"{value.__module__}.{name}"} & anchors, name
        assert f"`{name}`" in API, name
    assert "ecg_assets.Model.predict" in anchors or "ecg_assets.api.model.Model.predict" in anchors


def test_the_target_builds_what_is_not_tracked() -> None:
    made = subprocess.run(
        ["make", "--dry-run", "docs"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "mkdocs build" in made.stdout
    if shutil.which("git") and (ROOT / ".git").exists():
        ignored = ["git", "check-ignore", "--quiet", "site/index.html"]
        assert subprocess.run(ignored, cwd=ROOT, check=False).returncode == 0
        kept = ["git", "check-ignore", "--quiet", "--no-index", "ecg_assets/build/new.py"]
        assert subprocess.run(kept, cwd=ROOT, check=False).returncode == 1
