"""What a finished job says in a line."""

import pytest

from emocore.reports.sections import SECTIONS
from emocore.reports.summary import label_line, run_line, run_lines

FIGURES = {"model": "svc", "n": 8, "accuracy": 0.5, "uar": 0.5, "ci95_uar": [0.4, 0.6], "ci95_resampled": "clips"}


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"protocol": "all", "speaker_independent": None}, True),
        ({"protocol": "all", "speaker_independent": True}, False),
        ({"protocol": "as-is", "speaker_independent": None}, False),
        ({"protocol": "all"}, False),
        ({"protocol": "grouped5", "speaker_independent": None, "group_column": "speaker"}, False),
        ({"protocol": "grouped5", "speaker_independent": None, "group_column": "clip"}, True),
    ],
)
def test_a_line_says_where_nobody_knows_who_speaks(metrics, said):
    assert run_line(FIGURES | metrics).endswith("; who speaks is not known, and may stand on both sides") is said


@pytest.mark.parametrize(
    ("predicted", "states", "reasons", "line"),
    [
        ({"sad": 16}, {"ok": 16}, {}, "16 labels, 0 failures"),
        ({"sad": 1}, {"ok": 1}, {"broken": 1}, "1 label, 1 failure (1 broken)"),
        ({}, {"silent": 1}, {}, "0 labels, 1 file without (1 silent), 0 failures"),
        (
            {"sad": 1200, "calm": 1},
            {"ok": 1201, "silent": 2, "no_face": 1},
            {"broken": 1, "truncated": 2},
            "1,201 labels, 3 files without (2 silent, 1 no_face), 3 failures (1 broken, 2 truncated)",
        ),
    ],
)
def test_labels_files_without_and_failures_add_up(predicted, states, reasons, line):
    summary = {"predicted": predicted, "states": states, "failures": sum(reasons.values())}
    assert label_line(summary | {"failures_by_reason": reasons}) == line


CORPUS = {"name": "emovo", "trained_on": ["nemo", "ravdess"], "n_trained": 1677, "emotions": ["happy", "sad"], "n": 588}
CORPUS |= {"n_left_out": 12, "chance": 0.5, "uar": 0.25, "accuracy": 0.3, "ci95_uar": [0.2, 0.3]}
CORPUS |= {"recall": {"happy": 0.5, "sad": 0.0, "calm": None}}


def test_a_line_for_each_corpus():
    metrics = FIGURES | {"protocol": "cross-corpus", "corpora": [CORPUS]}
    assert run_lines(metrics, False, "R").splitlines()[1] == (
        "nemo, ravdess → emovo: UAR 25.0 % [20.0, 30.0] over 2 emotions (guessing 50.0 %), n = 588, 12 left out"
    )


def test_a_row_for_each_corpus():
    (section,) = [section for section in SECTIONS if section.title == "Across corpora"]
    table, recalls = section.tables({"corpora": [CORPUS]}, [])
    assert list(table.rows[0][:5]) == ["emovo", "nemo, ravdess (1,677 clips)", "588", "12", "2"]
    assert list(recalls.head) == ["tested on", "happy", "sad"]
    assert section.tables({}, []) == []
