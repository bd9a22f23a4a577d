"""A part that is cut or empty is a lost part."""

import pyarrow as pa
import pytest

from emocore.pipeline.archive.update import drop_cut, numbered_files
from emocore.storage.tables import write_table


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_part_that_is_not_whole_is_taken_away_and_told(tmp_path, capsys, share):
    for number in (0, 1):
        write_table(pa.table({"path": ["a.wav"]}), tmp_path / f"{number:06d}.parquet")
    cut = tmp_path / "000001.parquet"
    cut.write_bytes(cut.read_bytes()[: int(share * cut.stat().st_size)])
    drop_cut(tmp_path)
    assert numbered_files(tmp_path) == {0}
    assert f"{cut} is not whole" in "".join(capsys.readouterr())
