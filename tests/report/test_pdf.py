"""The PDF of the report: by the real Chromium where there is one, and in words where not."""

import re

import pytest

from vaaffect.base.errors import UserError
from vaaffect.report import pdf as printing


@pytest.fixture
def folder(tmp_path):
    rows = "".join(f"<p>Line {i} of a page.</p>" for i in range(120))
    links = '<a class="up" href="../tables">tables</a> <a href="html/01_x.html#y">one</a>'
    links += ' <a href="#end">down</a> <a href="https://example.org/">out</a>'
    page = f'<!DOCTYPE html><title>Small</title>{links}{rows}<p id="end">end</p>'
    (tmp_path / "report.html").write_text(page)
    return tmp_path


def only_browser(tmp_path, monkeypatch, script: str) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "chromium").write_text(f"#!/bin/sh\n{script}\n")
    (programs / "chromium").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))


@pytest.mark.skipif(printing.find_browser() is None, reason="Chromium is not installed")
def test_the_page_is_printed_over_several_sheets(folder):
    pdf = printing.print_report(folder)
    content = pdf.read_bytes()
    assert pdf == folder / "report.pdf" and content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= 2
    # Links lead within the page and to the world, and tell nothing about this machine.
    assert b"file:" not in content and str(folder).encode() not in content
    assert b"https://example.org" in content and b"/Dest" in content


def test_without_a_browser_it_says_so_and_leaves_no_old_pdf(folder, monkeypatch):
    (folder / "report.pdf").write_text("of yesterday's page")
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(UserError, match=r"report\.pdf was not made, because Chromium is not inst"):
        printing.print_report(folder)
    assert not (folder / "report.pdf").exists()


def test_a_browser_that_fails_is_quoted(folder, tmp_path, monkeypatch):
    only_browser(tmp_path, monkeypatch, "echo first >&2; echo no display >&2; exit 3")
    with pytest.raises(UserError, match=r"was not made: .*chromium says: no display"):
        printing.print_report(folder)
    assert not (folder / "report.pdf").exists()


def test_a_browser_that_hangs_is_given_up(folder, tmp_path, monkeypatch):
    only_browser(tmp_path, monkeypatch, "exec /bin/sleep 60")
    monkeypatch.setattr(printing, "PATIENCE", 0.5)
    with pytest.raises(UserError, match="did not answer"):
        printing.print_report(folder)


def test_without_a_page_there_is_nothing_to_print(tmp_path):
    with pytest.raises(UserError, match="run the study first"):
        printing.print_report(tmp_path)
