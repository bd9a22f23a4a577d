"""Images without actors: copies of a file stay on one side, and what tests is not trained on."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocore.datasets.duplicates import distinct_rows, join_copies, leave_out_copies, with_validation
from emocore.datasets.protocols import Fold, check_disjoint, make_folds
from emocore.errors import UserError
from emocore.schema import CLIPS, LISTING, rows_to_table


def clips_of(contents, actors=None, takes=None, splits=None):
    """CLIPS rows: a content each, and perhaps an actor, a take, a side."""
    rows = []
    for i, content in enumerate(contents):
        name = f"{i:04d}.png"
        take = (takes or {}).get(i, name)
        split = splits[i] if splits else None
        rows.append(
            {"clip": name, "path": f"/f/{name}", "take": take, "content_id": content, "split": split}
            | ({"actor": actors[i]} if actors else {})
        )
    return rows_to_table(rows, CLIPS)


def rows(*numbers):
    return np.array(numbers, np.int64)


def contents_of(clips, chosen):
    return {clips["content_id"][int(row)].as_py() for row in chosen}


@given(st.lists(st.integers(0, 12), min_size=12, max_size=60), st.integers(0, 5))
def test_copies_never_part(contents, seed):
    contents = [f"c{number}" for number in [*contents, 100, 101, 102, 103, 104]]
    clips = join_copies(clips_of(contents))
    folds, _ = make_folds("grouped5", clips, group_column="clip", seed=seed)
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(len(contents)))
    for fold in folds:
        drawn = with_validation(clips, fold, seed)
        sides = [contents_of(clips, side) for side in (drawn.train, drawn.validation, drawn.test)]
        assert all(sides) and not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
        check_disjoint(clips, drawn)


def test_what_is_known_of_actors_and_takes_is_left_as_it_is():
    clips = clips_of(["a", "a", "b", None], ["01", "02", None, None], {2: "take 7"})
    assert join_copies(clips)["take"].to_pylist() == ["0000.png", "0001.png", "take 7", "0003.png"]
    assert join_copies(clips_of(["a", "b", "a"]))["take"].to_pylist() == ["a", "b", "a"]


def test_a_listing_whose_bytes_nobody_read_yet():
    listing = rows_to_table(
        [{"clip": "a", "take": "a", "path": "/a"}, {"clip": "b", "take": "b", "path": "/b"}], LISTING
    )
    assert join_copies(listing).equals(listing)
    fold = leave_out_copies(listing, Fold("given", rows(0), rows(), rows(1)))
    assert fold.train.tolist() == [0]
    assert distinct_rows(listing).tolist() == [0, 1]


def test_training_leaves_out_what_validation_and_test_hold_and_validation_what_the_test_holds():
    clips = clips_of(["t", "v", "x", "y", "v", "t", "z", "t", "v"])
    fold = leave_out_copies(clips, Fold("given", rows(0, 1, 2, 3), rows(4, 5, 6), rows(7)))
    assert (fold.train.tolist(), fold.validation.tolist(), fold.test.tolist()) == ([2, 3], [4, 6], [7])
    check_disjoint(clips, fold)


def test_a_copy_of_a_known_actor_still_stops_the_run():
    clips = clips_of(["a", "a", "b"], ["01", "02", "03"])
    fold = Fold("given", rows(0, 2), rows(), rows(1))
    kept = leave_out_copies(clips, fold)
    assert kept.train.tolist() == [0, 2]
    with pytest.raises(UserError, match="hold identical bytes"):
        check_disjoint(clips, kept)


def test_validation_is_a_fifth_of_the_actors_or_a_tenth_of_the_clips():
    actors = [f"{i % 10:02d}" for i in range(50)]
    known = clips_of([f"c{i}" for i in range(50)], actors)
    fold = with_validation(known, Fold("all", np.arange(50), rows(), rows()), 0)
    assert len({actors[i] for i in fold.validation}) == 2 and len(fold.validation) == 10
    loose = clips_of([f"c{i}" for i in range(50)])
    assert len(with_validation(loose, Fold("all", np.arange(50), rows(), rows()), 0).validation) == 5
    given_ = Fold("given", rows(0, 1), rows(2), rows(3))
    assert with_validation(loose, given_, 0) is given_
    with pytest.raises(UserError, match="1 actor cannot be parted for validation"):
        with_validation(known.slice(0, 1), Fold("all", rows(0), rows(), rows()), 0)


def test_distinct_rows_are_the_first_of_each_content():
    clips = clips_of(["b", "a", "b", None, None, "a"])
    assert distinct_rows(clips).tolist() == [0, 1, 3, 4]
    assert distinct_rows(pa.Table.from_batches([], CLIPS)).tolist() == []
