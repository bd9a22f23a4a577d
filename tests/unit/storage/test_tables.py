"""Tables on disk: typed, versioned, whole or not there."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore import schema
from emocore.errors import UserError
from emocore.schema import CLIPS, LABELS, PREDICTIONS, rows_to_table
from emocore.storage import tables
from emocore.storage.tables import read_tables, write_table

MFCC_FRAMES = pa.fixed_shape_tensor(pa.float32(), [157, 39])
FRAMES = pa.schema([("clip", pa.string()), ("frames", MFCC_FRAMES)])


def rows(n=3):
    rng = np.random.default_rng(0)
    return [{"clip": f"c{i}", "frames": rng.standard_normal((157, 39)).astype("f4")} for i in range(n)]


def test_round_trip_of_a_tensor(tmp_path):
    made = rows()
    write_table(rows_to_table(made, FRAMES), tmp_path / "mfcc" / "a.parquet")
    back = read_tables(tmp_path / "mfcc")
    assert back.schema.remove_metadata().equals(FRAMES)
    tensors = back["frames"].combine_chunks().to_numpy_ndarray()
    np.testing.assert_array_equal(tensors, np.stack([row["frames"] for row in made]))
    assert pq.read_table(tmp_path / "mfcc" / "a.parquet", columns=["clip"])["clip"].to_pylist() == ["c0", "c1", "c2"]


@pytest.mark.parametrize("table_schema", [CLIPS, LABELS, PREDICTIONS, schema.FAILURES, schema.LISTING])
def test_round_trip_without_rows(tmp_path, table_schema):
    table = rows_to_table([], table_schema)
    assert table.equals(table_schema.empty_table())
    write_table(table, tmp_path / "a.parquet")
    assert read_tables(tmp_path).schema.remove_metadata().equals(table_schema)


def test_unknown_cells_are_typed_nulls():
    table = rows_to_table([{"clip": "a", "soft_label": np.eye(8, dtype="f4")[1]}], CLIPS)
    assert table.schema.equals(CLIPS)
    assert table["actor"].to_pylist() == [None]
    assert table["soft_label"].to_pylist() == [[0, 1, 0, 0, 0, 0, 0, 0]]


def test_files_are_read_in_name_order_and_only_the_columns_asked_for(tmp_path):
    for name in ("000010", "000002", "000001"):
        write_table(pa.table({"clip": [name], "actor": ["x"]}), tmp_path / f"{name}.parquet")
    (tmp_path / ".000003.parquet.tmp").write_bytes(b"half a table")
    table = read_tables(tmp_path, pa.schema([("clip", pa.string())]))
    assert table.to_pydict() == {"clip": ["000001", "000002", "000010"]}


@pytest.mark.parametrize("found", ["0", "1", "none"])
def test_another_version_is_one_sentence(tmp_path, found):
    write_table(pa.table({"clip": ["a"]}), tmp_path / "a.parquet")
    metadata = None if found == "none" else {schema.VERSION_KEY: found.encode()}
    pq.write_table(pa.table({"clip": ["b"]}).replace_schema_metadata(metadata), tmp_path / "b.parquet")
    with pytest.raises(UserError) as error:
        read_tables(tmp_path)
    assert str(error.value) == (
        f"{tmp_path / 'b.parquet'} has schema version {found}, this release reads 2: make it anew by "
        "python jobs/featurize.py CORPUS --out NEW."
    )


def test_a_table_of_another_version_is_made_anew_by_the_command_of_its_folder(tmp_path):
    """Before its columns are compared, which may be others by now; a config.json of a stranger's is not repeated."""
    path = tmp_path / "my features" / "features" / "article" / "a.parquet"
    write_table(pa.table({"name": ["a"]}), path)
    pq.write_table(pq.read_table(path).replace_schema_metadata({schema.VERSION_KEY: b"1"}), path)
    config = tmp_path / "my features" / "config.json"
    for content, command in (
        ('{"command": "featurize"}', f"python jobs/featurize.py --config '{config}' --out NEW."),
        ('{"command": "rm -r"}', "python jobs/featurize.py CORPUS --out NEW."),
        ("[" * 100_000, "python jobs/featurize.py CORPUS --out NEW."),
    ):
        config.write_text(content)
        with pytest.raises(UserError) as error:
            read_tables(path.parent, pa.schema([("clip", pa.string())]))
        assert str(error.value) == f"{path} has schema version 1, this release reads 2: make it anew by {command}"


def test_a_table_is_opened_once(tmp_path, monkeypatch):
    write_table(pa.table({"clip": ["a"]}), tmp_path / "a.parquet")
    opened = []
    original = tables.pq.ParquetFile
    monkeypatch.setattr(tables.pq, "ParquetFile", lambda source: opened.append(source) or original(source))
    read_tables(tmp_path)
    assert len(opened) == 1


def test_metadata_of_the_caller_is_kept_beside_the_version(tmp_path):
    write_table(pa.table({"clip": ["a"]}).replace_schema_metadata({"own": "1"}), tmp_path / "a.parquet")
    metadata = pq.read_schema(tmp_path / "a.parquet").metadata
    assert (metadata[b"own"], metadata[schema.VERSION_KEY]) == (b"1", b"2")


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_tables_is_one_sentence(tmp_path, exists):
    folder = tmp_path / "clips"
    if exists:
        folder.mkdir()
    with pytest.raises(UserError, match=r"holds no Parquet file: expected a table that emocore wrote\.$"):
        read_tables(folder)


def test_a_broken_parquet_file_is_one_sentence(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 half of it")
    with pytest.raises(UserError, match=r"a\.parquet"):
        read_tables(tmp_path)


@pytest.mark.parametrize("declared", [None, pa.schema([("clip", pa.string())])])
def test_a_column_of_a_type_that_code_brings_to_life_is_refused_though_nobody_asks_for_it(tmp_path, declared):
    told = {b"ARROW:extension:name": b"ray.data.arrow_pickled_object", b"ARROW:extension:metadata": b""}
    field = pa.field("more", pa.large_binary(), metadata=told)
    write_table(pa.table([["a"], [b"x"]], pa.schema([("clip", pa.string()), field])), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="arrow_pickled_object', which no table of ours has"):
        read_tables(tmp_path, declared)


def test_a_write_that_fails_midway_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    write_table(pa.table({"clip": ["old"]}), path)

    def half(table, where, **options):
        where.write(b"PAR1 half")
        raise OSError("No space left on device")

    monkeypatch.setattr(tables.pq, "write_table", half)
    with pytest.raises(OSError, match="No space"):
        write_table(pa.table({"clip": ["new"]}), path)
    assert read_tables(tmp_path)["clip"].to_pylist() == ["old"]
