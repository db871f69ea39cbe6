"""The report as a PDF, printed by Chromium from the same page."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from ..base import UserError, shown

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 120  # seconds; a page takes two or three
_QUIET = (
    "--headless", "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--no-pdf-header-footer",
)  # fmt: skip


# A link to a file beside the page: no address, and no place within the page.
_BESIDE = re.compile(r'(<a\b[^>]*?)\shref="(?![a-z][a-z0-9+.-]*:|#|//)[^"]*"', re.IGNORECASE)


def find_browser() -> str | None:
    """The first of BROWSERS that is on the PATH."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def print_report(folder: Path) -> Path:
    """Print `report.html` of a report folder as `report.pdf` beside it.

    Links to files beside the page are left out: a PDF would name their place on this machine.

    UserError where there is no such page or no browser, or where the browser fails; an older PDF,
    which would be of another page, is then gone.
    """
    page, pdf = folder / "report.html", folder / "report.pdf"
    pdf.unlink(missing_ok=True)
    if not page.is_file():
        raise UserError(f"{shown(page)} is not there; run the study first.")
    browser = find_browser()
    if browser is None:
        raise UserError(
            f"{shown(pdf)} was not made, because Chromium is not installed (on Debian: apt install "
            f"chromium). Then: python -m vaaffect pdf {shown(folder)}"
        )
    with tempfile.TemporaryDirectory(prefix="vaaffect-") as profile:
        made, printed = Path(profile) / "report.pdf", Path(profile) / page.name
        printed.write_text(_BESIDE.sub(r"\1", page.read_text(encoding="utf-8")), encoding="utf-8")
        command = [browser, *_QUIET, f"--user-data-dir={profile}/user", f"--print-to-pdf={made}"]
        if os.geteuid() == 0:
            command.append("--no-sandbox")  # Chromium refuses to run for root with it
        try:
            done = subprocess.run([*command, printed.as_uri()], capture_output=True,
                                  text=True, timeout=PATIENCE)  # fmt: skip
        except subprocess.TimeoutExpired:
            raise UserError(
                f"{shown(pdf)} was not made: {browser} did not answer in {PATIENCE} s."
            ) from None
        if not made.is_file():
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise UserError(f"{shown(pdf)} was not made: {browser} says: {last}")
        shutil.copyfile(made, pdf)
    return pdf
