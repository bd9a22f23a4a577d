"""How far a job is, said also while nothing ends."""

import time

from emocore import progress
from emocore.progress import Counter, say


def test_what_comes_from_files_is_said_without_control_characters(capsys):
    """No escape sequence of a file's name reaches the terminal, and no line but those that are said."""
    say("a\x1b]0;title\x07.wav", "b\nDone.\r\udcff", "Grüße – ok")
    assert capsys.readouterr().out == "a\\x1b]0;title\\x07.wav\nb\\nDone.\\r\\udcff\nGrüße – ok\n"


def test_a_log_has_a_line_every_half_minute_while_one_file_is_read(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.05)
    monkeypatch.setattr(progress, "TICK_SECONDS", 0.01)
    with Counter("label", 3, "file") as counter:
        counter.add(1)
        time.sleep(0.3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "label: 3 files to do" and lines[-1] == "label: 1 of 3 files in 0 s, 0 failed"
    assert len(lines) > 3 and all(line.startswith("label: 1 of 3 files, ") for line in lines[1:-1])
    time.sleep(0.1)
    assert not capsys.readouterr().out  # it has ended
