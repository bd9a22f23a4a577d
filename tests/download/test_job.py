"""jobs/download.py as a command: what it says, and its exit codes."""

from serving import zipped


def test_the_job_fetches_unpacks_and_says_when_it_had_finished(job, record, tmp_path):
    for actor in ("01", "02"):
        record.files[f"Video_Song_Actor_{actor}.zip"] = zipped(actors=[actor])
    arguments = ["ravdess", "--subset", "video-song", "--actors", "1-2,18", "--dest", tmp_path / "D"]
    first = job(*arguments)
    assert first.code == 0, first.err
    assert "CC BY-NC-SA 4.0" in first.out
    assert first.out.endswith("D fetched 2 of 2 files, 0.6 MB, verified\n")
    second = job(*arguments, "--unpack", tmp_path / "U")
    assert "D was complete already: 2 files, 0.6 MB, verified\n" in second.out
    assert second.out.endswith("U has 2 files of these actors\n")
    assert len(record.requests) == 2


def test_the_job_stops_with_one_sentence_and_code_2(job, record, tmp_path):
    for wrong, sentence in [
        (["cremad"], "The corpus 'cremad' is unknown: choose one of ravdess."),
        (["ravdess", "--subset", "talk"], "--subset 'talk' is unknown: choose one of speech, song, video-speech, "),
        (["ravdess", "--actors", "25"], "--actors '25' has '25': expected numbers from 1 to 24"),
        (["ravdess", "--unpack", tmp_path / "D" / "U"], "lie in one another"),
        (["ravdess", "--subset", "speech"], "Audio_Speech_Actors_01-24.zip?download=1 does not exist"),
    ]:
        stopped = job(*wrong, "--dest", tmp_path / "D")
        assert (stopped.code, stopped.err.count("\n")) == (2, 1)
        assert sentence in stopped.err
