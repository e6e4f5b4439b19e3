"""What the screen says while work goes on, and what a command that was stopped says."""

import io
import os
import re
import signal
from pathlib import Path

import pytest
import typer
from rich.console import Console

from foveate.cli.screen import SlowWork, guarded, say, screen_observer


def test_slow_work_is_told_after_five_seconds_and_then_ever_more_rarely() -> None:
    moment = 0.0
    slow = SlowWork(lambda: moment)
    told = []
    for second in range(101):
        moment = float(second)
        if slow("predicting", second, 1000):
            told.append(second)
    assert told == [5, 15, 35, 75]
    assert not slow("measuring", 0, 10), "other work begins anew"
    moment += 5
    assert slow("measuring", 5, 10)
    moment += 50
    assert not slow("measuring", 10, 10), "it is over"


def test_quick_work_is_not_told() -> None:
    moment = 0.0
    slow = SlowWork(lambda: moment)
    for number in range(100):
        moment += 0.1
        assert not slow("predicting", number % 20, 20), "each time it is over the clock starts anew"
        slow("predicting", 20, 20)


def test_the_screen_tells_what_is_slow_where_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    screen = screen_observer()
    screen.slow = SlowWork(iter([0.0, 6.0, 7.0, 8.0]).__next__)
    for done in (0, 32, 64):
        screen.progress("testing other backgrounds", done, 64)
    screen.close()
    screen.progress("predicting", 1, 2)  # after the end of a training there is more to come
    screen.close()
    assert capsys.readouterr().out == "testing other backgrounds: 32 of 64\n"


def test_ctrl_c_in_any_command_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    @guarded
    def command() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()

    with pytest.raises(typer.Exit) as caught:
        command()
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err.startswith("error Stopped;")


def test_the_bar_of_the_epochs_goes_with_them() -> None:
    """A phase that ended early would look as if it went on while pictures are measured."""
    screen = screen_observer()
    screen.phase("all", 20, 5)
    screen.step(5, 5, 16)
    assert [task.description for task in screen.bar.tasks] == ["all"]
    screen.close()
    screen.progress("measuring", 1, 10)
    assert [task.description for task in screen.bar.tasks] == ["measuring"]
    screen.close()


@pytest.mark.parametrize(
    "parts", [("word " * 30,), ("word " * 30, Path("a/file")), ("Next: foveate predict " + "a " * 40,)]
)
def test_a_terminal_breaks_lines_between_words_but_nothing_that_is_copied(
    parts: tuple[str | Path, ...],
) -> None:
    shown = []
    for terminal in (True, False):
        stream = io.StringIO()
        say(*parts, console=Console(file=stream, width=80, force_terminal=terminal, no_color=True))
        shown.append(re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).rstrip("\n").split("\n"))
    broken, whole = shown
    assert len(whole) == 1
    assert len(broken) == (2 if len(parts) == 1 else 1)
    assert "foveate" not in whole[0] or broken[1].startswith("foveate predict a a"), (
        "the command whole on its line"
    )
    assert " ".join(line.strip() for line in broken).split() == whole[0].split()
