"""The Dagster UI in headless Chromium: what a person does first, on a real instance."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ecg_assets_tests.defs.sessions import ending_session, free_port

CHROMIUM = shutil.which("chromium")
ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH"),
]


def _wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "the UI ended early"
        try:
            urllib.request.urlopen(url, timeout=2)
            return
        except OSError:
            time.sleep(1)
    raise AssertionError(f"nothing answers at {url}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dagster_home")
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", folder)
    return folder


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    """One UI with its daemon for all tests; steps run in the process of their run."""
    port = free_port()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ecg_assets.defs.ui",
            "--workspace",
            str(ROOT / "workspace.yaml"),
            "--port",
            str(port),
        ],
        cwd=home,
        env={
            **os.environ,
            "DAGSTER_HOME": str(home),
            "ECG_SOURCE": "synthetic",
            "ECG_RAW_ROOT": "",
            "ECG_DATA_DIR": str(home / "data"),
            "ECG_EXECUTOR": "one-process",
            "ECG_SYNTHETIC_RECORDS": "60",
        },
        start_new_session=True,
    )
    with ending_session(process):
        _wait_for(f"http://127.0.0.1:{port}/server_info", process)
        yield f"http://127.0.0.1:{port}"


def _succeeded(home: Path, asset: str) -> bool:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        return instance.get_latest_materialization_event(dg.AssetKey(asset)) is not None


def test_a_page_of_another_site_starts_nothing(address: str) -> None:
    query = urllib.parse.quote("mutation{launchRun(executionParams:{}){__typename}}")
    request = urllib.request.Request(
        f"{address}/graphql?query={query}",
        data=b" ",
        headers={"Origin": "https://evil.example", "Content-Type": "text/plain"},
    )
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=30)


def test_split_is_materialized_by_clicking(address: str, home: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        outside: list[str] = []
        page.on(
            "request",
            lambda request: (
                outside.append(request.url)
                if not request.url.startswith((address, "data:", "blob:", "ws://127.0.0.1"))
                else None
            ),
        )
        page.goto(f"{address}/asset-groups")
        for group in ("sources", "preprocess", "finetune", "evaluation"):
            expect(page.get_by_text(group, exact=True).first).to_be_visible(timeout=60_000)
        for asset in ("record_list", "split"):
            page.goto(f"{address}/assets/{asset}")
            page.get_by_role("button", name="Materialize").first.click()
            page.get_by_text("Launched run").first.wait_for(timeout=60_000)
            deadline = time.monotonic() + 120
            while not _succeeded(home, asset) and time.monotonic() < deadline:
                time.sleep(1)
            assert _succeeded(home, asset)
        page.goto(f"{address}/runs")
        expect(page.get_by_text("Success").nth(1)).to_be_visible(timeout=60_000)
        assert outside == []
        browser.close()
