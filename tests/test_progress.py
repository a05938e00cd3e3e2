"""The line that says how far a job has come."""

from __future__ import annotations

import io

import pytest

from atlib import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_one_line_is_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "OFTEN", 0.0)
    terminal = Terminal()
    line = progress.Line(stream=terminal)
    line.show("epoch 10 of 12")
    line.show(lambda: "epoch 11")
    line.close()
    assert terminal.getvalue() == "\repoch 10 of 12\repoch 11      \n"
    line.show("after its end")
    assert terminal.getvalue().endswith("epoch 11      \n")


def test_a_line_that_would_wrap_is_cut() -> None:
    terminal = Terminal()
    progress.Line(stream=terminal).show("x" * 200)
    assert terminal.getvalue() == "\r" + 79 * "x"


def test_too_soon_is_not_drawn_and_not_even_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "OFTEN", 1e9)
    terminal = Terminal()
    line = progress.Line(stream=terminal)
    line.show("first")
    line.show(lambda: pytest.fail("made for nothing"))
    assert terminal.getvalue() == "\rfirst"


def test_where_nobody_looks_it_is_a_line_every_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    log = io.StringIO()
    line = progress.Line(stream=log)
    for second in range(0, 100, 5):
        now[0] = 100.0 + second
        line.show(f"at {second} s")
    line.close()
    assert log.getvalue() == "at 30 s\nat 60 s\nat 90 s\n"


def test_nothing_is_drawn_where_nothing_is_wanted() -> None:
    terminal = Terminal()
    line = progress.Line(shown=False, stream=terminal)
    line.show("a")
    line.close()
    assert terminal.getvalue() == ""


def test_a_text_that_stays_is_printed_above_the_line(capsys: pytest.CaptureFixture) -> None:
    terminal = Terminal()
    line = progress.Line(stream=terminal)
    line.show("epoch 1")
    line.keep("epoch 1: .5")
    assert terminal.getvalue() == "\repoch 1\r       \r" and capsys.readouterr().out == "epoch 1: .5\n"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (1860, "31 min"),
        (7500, "2 h 5 min"),
        (7200, "2 h"),
    ],
)
def test_a_time_in_words(seconds: float, expected: str) -> None:
    assert progress.duration(seconds) == expected


def test_reports_are_heard_only_while_somebody_listens() -> None:
    heard: list[float] = []
    progress.report(0.1)
    with progress.reporting(heard.append):
        progress.report(0.5)
    progress.report(0.9)
    assert heard == [0.5]
