"""Traces as raters' programs, spreadsheets and editors have left them."""

import codecs

import numpy as np
import pytest

from vaaffect.corpora.traces import read_trace

# Some whole numbers, which look the same with points and commas; and a minus.
TIMES = np.round(np.arange(0, 2.5, 0.25), 2)
RATINGS = np.round(np.linspace(-0.75, 1, len(TIMES)), 4)
RATINGS[:3] = [0, 1, -1]


def lines(separator: str = " ", mark: str = ".", end: str = "") -> list[str]:
    pairs = zip(TIMES, RATINGS, strict=True)
    return [f"{t:g}{separator}{v:g}{end}".replace(".", mark) for t, v in pairs]


def read(tmp_path, content: bytes | list[str]):
    path = tmp_path / "R1S1TUCPoDV.txt"
    path.write_bytes(content if isinstance(content, bytes) else "\n".join(content).encode())
    return read_trace(path)


@pytest.mark.parametrize(
    "content",
    [
        lines(), lines("\t"), lines("  "), lines("\t", end="\t"),
        lines(" ", ","), lines("\t", ","), lines(", ", ","),
        lines(";"), lines("; "), lines(";", end=";"), lines(";", ","), lines(" ; ", ","),
        lines(","), lines(", "), lines(",", end=","),
    ],
)  # fmt: skip
def test_pairs_of_numbers_are_read_in_whatever_form_their_meaning_is_certain(tmp_path, content):
    time, value, skipped = read(tmp_path, content)
    assert time.tolist() == TIMES.tolist() and value.tolist() == RATINGS.tolist()
    assert skipped == 0
    # With a header, a torn line and a line of another form, these alone are passed over.
    torn = [*content, "9", "10 0x", ""] + (["11|0"] if " " in content[1] else ["11|0.5"])
    time, value, skipped = read(tmp_path, ["Time Value", *torn])
    assert value.tolist() == RATINGS.tolist() and skipped == 4


def test_lines_that_are_no_pair_of_numbers_are_passed_over_and_counted(tmp_path):
    content = ["0.00 0.1", "", "0.02", "0.04 x", "0.06 0.3", "0.05 0.9", "0.08 0.5"]
    time, value, skipped = read(tmp_path, content)
    assert time.tolist() == [0.0, 0.06, 0.08] and value.tolist() == [0.1, 0.3, 0.5]
    assert skipped == 3  # one token, no number, back in time


def test_encodings_and_line_ends_cost_no_line(tmp_path):
    text = "\r\n".join(lines()) + "\r\n"
    for data in (
        text.encode(), codecs.BOM_UTF8 + text.encode(), text.encode("utf-16"),
        text.encode("utf-16-be"), text.replace("\r\n", "\r").encode(),
        codecs.BOM_UTF8 + "\n".join(lines(";", ",")).encode(),
        "\n".join(lines("\t", ",")).encode("utf-16"),
    ):  # fmt: skip
        time, value, skipped = read(tmp_path, data)
        assert time.tolist() == TIMES.tolist() and value.tolist() == RATINGS.tolist()
        assert skipped == 0


def test_a_few_whole_numbers_do_not_stand_for_a_file_with_decimal_commas(tmp_path):
    time, _, skipped = read(tmp_path, ["0 0", "1 0", *(f"{t / 10:.1f} 0,5".replace(".", ",")
                                                       for t in range(11, 40))])  # fmt: skip
    assert len(time) == 31 and time[-1] == 3.9 and skipped == 0


@pytest.mark.parametrize(
    "content, reason",
    [
        (["0.02 0.5 1", "0.04 0.5 1"], "its line 1 is '0.02 0.5 1', which is not certainly"),
        (["t v", "", "0.02;0.5;7", "0.04;0.5;7"], "its line 3 is '0.02;0.5;7', which"),
        (["0,02,0,5", "0,04,0,5"], "its line 1 is '0,02,0,5', which is not certainly"),
        (["0,5", "1,0", "2,1"], "its line 1 is '0,5', which is not certainly"),
        (["0 0 0", "0.02 0.5", "0.04 0.5 3"], "its line 1 is '0 0 0', which is not certainly"),
        (["1.000,02 0,5"] * 9, "its line 1 is '1.000,02 0,5'"),
        ([f"0.5 0.5 {'x' * 90}"], "its line 1 is '0.5 0.5 " + 32 * "x" + "...', which"),
        (["0.5 0.5", "0.4 0.4", "0.3 0.3"], "the times of the trace's 3 ratings do not rise"),
        (["0.5 0.5", "x"], "trace holds one rating alone"),
        (["", "no ratings"], "trace holds no ratings: its line 2 is 'no ratings'"),
        (["0.02 nan", "0.04 nan"], "trace holds no ratings: its line 1 is '0.02 nan'"),
        ([], "trace holds no ratings"),
        (["0;0,5", "1;7,5"], "trace reaches 7.5, beyond FEELtrace's scale"),
    ],
)
def test_what_is_not_certain_is_said_with_the_line(tmp_path, content, reason):
    with pytest.raises(ValueError) as error:
        read(tmp_path, content)
    assert reason in str(error.value)
