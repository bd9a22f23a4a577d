"""What a training says of its epochs on the way."""

from emocore.pipeline.training.epoch_log import Reporter, read_progress


def test_lines_are_read_as_they_were_written(tmp_path):
    reporter = Reporter(tmp_path / "progress.jsonl")
    assert read_progress(tmp_path / "progress.jsonl") == []
    reporter.after_report(None, [{"epoch": 1, "loss": 0.5}, {"epoch": 1, "loss": 0.7}], None)
    reporter.after_exception(None, {1: ValueError("two\nlines")})
    with (tmp_path / "progress.jsonl").open("a") as file:
        file.write('{"epoch": 2')  # another line is being written
    assert read_progress(tmp_path / "progress.jsonl") == [{"epoch": 1, "loss": 0.5}, {"lost": [1], "cause": "lines"}]


def test_a_line_that_cannot_be_written_stops_no_training(tmp_path):
    (tmp_path / "file").write_text("no folder")
    Reporter(tmp_path / "file" / "progress.jsonl").after_report(None, [{"epoch": 1}], None)
    assert (tmp_path / "file").read_text() == "no folder"
