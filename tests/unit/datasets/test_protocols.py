"""Protocols: the published folds, and the law that nobody stands on both sides."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocore.datasets.groups import groups, tell_apart
from emocore.datasets.protocols import (
    PROTOCOLS,
    PUBLISHED,
    Fold,
    check_disjoint,
    draw_validation,
    inner_folds,
    make_folds,
)
from emocore.errors import UserError
from emocore.schema import CLIPS, LISTING, rows_to_table

ZEROS = np.zeros(8, np.float32)


def table(rows, schema=CLIPS):
    complete = []
    for n, row in enumerate(rows):
        complete.append({"clip": f"c{n}", "take": f"c{n}", "path": f"/d/c{n}.wav", "soft_label": ZEROS, **row})
    return rows_to_table(complete, schema)


def of_actors(actors, clips_each=2):
    return table(
        {"actor": f"{actor:02d}", "gender": "male" if actor % 2 else "female"}
        for actor in actors
        for _ in range(clips_each)
    )


def actors_of(clips, rows):
    return {int(clips["actor"][int(row)].as_py()) for row in rows}


ALL = of_actors(range(1, 25))


@pytest.mark.parametrize("protocol", ["luna5", "emobox6", "sequential6"])
def test_published_folds_test_every_actor_once(protocol):
    published = [{int(actor) for actor in fold} for fold in PUBLISHED[protocol][1].test_actors]
    tested = [actor for fold in published for actor in fold]
    assert sorted(tested) == list(range(1, 25))
    folds, empty = make_folds(protocol, ALL)
    assert empty == 0 and len(folds) == int(protocol[-1])
    assert [actors_of(ALL, fold.test) for fold in folds] == published


@pytest.mark.parametrize(("protocol", "first"), [("article", 21), ("article-video", 23)])
def test_the_article_trains_on_the_first_actors(protocol, first):
    ((fold,), empty) = make_folds(protocol, ALL)
    assert actors_of(ALL, fold.train) == set(range(1, first)) and empty == 0
    assert actors_of(ALL, fold.test) == set(range(first, 25))


def test_folds_without_a_present_actor_are_counted():
    folds, empty = make_folds("sequential6", of_actors(range(1, 10)))
    assert ([fold.name for fold in folds], empty) == (["1", "2", "3"], 3)


def test_one_actor_has_many_spellings():
    clips = table([{"actor": "1"}, {"actor": "01"}, {"actor": " 1"}, {"actor": "2"}])
    folds, _ = make_folds("loso", clips)
    assert [(fold.name, fold.test.tolist()) for fold in folds] == [("01", [0, 1, 2]), ("02", [3])]


@given(
    st.sampled_from([name for name in PROTOCOLS if name not in ("given", "all", "as-is", "cross-corpus")]),
    st.sets(st.integers(1, 24), min_size=1),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_no_actor_stands_on_both_sides_and_no_clip_is_tested_twice(protocol, actors, clips_each, seed):
    clips = of_actors(sorted(actors), clips_each)
    try:
        folds, _ = make_folds(protocol, clips, seed=seed)
    except UserError:
        assert len(actors) < 5 or protocol.startswith("article")  # only few actors can be too few
        return
    tested = np.concatenate([fold.test for fold in folds])
    assert len(set(tested.tolist())) == len(tested)
    for fold in folds:
        assert len(fold.train) and len(fold.test)
        assert not actors_of(clips, fold.train) & actors_of(clips, fold.test)
        check_disjoint(clips, fold)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=12, max_size=60), st.integers(0, 5))
def test_grouped5_parts_any_corpus_by_any_column(sites, seed):
    clips = table([{"extra": [("site", site)]} for site in sites], LISTING)
    if len(set(sites)) < 2:
        with pytest.raises(UserError, match="'grouped5' tests on every clip in fold '1' and leaves nothing"):
            make_folds("grouped5", clips, group_column="site", seed=seed)
        return
    folds, empty = make_folds("grouped5", clips, group_column="site", seed=seed)
    assert len(folds) + empty == 5
    assert len(folds) == min(5, len(set(sites)))
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(sites)))
    for fold in folds:
        assert not {sites[row] for row in fold.train} & {sites[row] for row in fold.test}


def test_grouped5_is_balanced_and_seeded():
    folds, _ = make_folds("grouped5", ALL, seed=1)
    for fold in folds:
        women = sum(actor % 2 == 0 for actor in actors_of(ALL, fold.test))
        assert women in (2, 3) and len(fold.test) in (8, 10, 12)
    again, _ = make_folds("grouped5", ALL, seed=1)
    other, _ = make_folds("grouped5", ALL, seed=2)
    assert [f.test.tolist() for f in folds] == [f.test.tolist() for f in again]
    assert [f.test.tolist() for f in folds] != [f.test.tolist() for f in other]


def test_unknown_actors_are_parted_by_take_and_said_to_be_unknown():
    clips = table([{"take": "t1"}, {"take": "t1"}, {"take": "t2"}, {"take": "01", "actor": None}, {"actor": "01"}])
    found = groups(clips)
    assert not found.known and found.values.tolist() == ["take t1", "take t1", "take t2", "take 01", "01"]
    parts = inner_folds(clips, np.arange(5), 4, 0)
    assert any(test.tolist() == [0, 1] for _, test in parts)
    assert groups(ALL).known


@pytest.mark.parametrize("protocol", ["grouped5", "loso"])
def test_people_who_are_not_known_are_not_parted_by_clips(protocol):
    rows = [{"extra": [("speaker", "ab"[n % 2]), ("SubjectID", "x"), ("site", "s"), ("age", "1")]} for n in range(4)]
    clips = table([*rows, {"actor": "03"}], LISTING)
    with pytest.raises(UserError) as error:
        make_folds(protocol, clips)
    assert str(error.value) == (
        f"Protocol {protocol!r} keeps people apart, and 4 of 5 clips have no actor: give --group-column SubjectID "
        "(columns that look like people: SubjectID, speaker), say where the path holds the actor (--actor-from REGEX), "
        "or choose grouped5 with --group-column clip, by which a person may stand on both sides."
    )
    with pytest.raises(UserError, match="1 of 5 clips have no speaker: give --group-column SubjectID "):
        make_folds(protocol, clips, group_column="speaker")
    assert len(make_folds(protocol, clips, group_column="clip")[0]) == 5
    assert len(make_folds(protocol, table(rows, LISTING), group_column="speaker")[0]) == 2


def test_actors_from_the_path_below_the_root():
    clips = table(
        [
            {"clip": "anna/1.wav", "path": "/d/anna/1.wav"},
            {"clip": "anna/1.wav@anna", "path": "/e/anna/1.wav"},
            {"clip": "7/1.wav", "path": "/d/7/1.wav"},
        ]
    )
    assert groups(clips, actor_from="^([^/]+)/").values.tolist() == ["anna", "anna", "07"]


def test_given_follows_the_corpus():
    splits = ["train", "test", None, "validation", "train"]
    ((fold,), empty) = make_folds("given", table([{"split": split} for split in splits]))
    assert (fold.train.tolist(), fold.validation.tolist(), fold.test.tolist()) == ([0, 4], [3], [1])
    assert empty == 0
    ((fold,), _) = make_folds("given", table([{"split": "train"}, {"split": "test"}]))
    assert not len(fold.validation)


def test_all_trains_and_as_is_tests_on_everything():
    ((fold,), _) = make_folds("all", ALL)
    assert (len(fold.train), len(fold.validation), len(fold.test)) == (48, 0, 0)
    check_disjoint(ALL, fold)
    ((fold,), _) = make_folds("as-is", ALL)
    assert (len(fold.train), len(fold.validation), len(fold.test)) == (0, 0, 48)
    check_disjoint(ALL, fold)


UNKNOWN = table([{}, {}])
SITES = table([{"extra": [("site", "a")]}])


@pytest.mark.parametrize(
    ("protocol", "clips", "options", "sentence"),
    [
        (
            "kfold",
            ALL,
            {},
            "Unknown protocol 'kfold': expected one of article, article-video, luna5, emobox6, sequential6, "
            "loso, grouped5, cross-corpus, given, all, as-is.",
        ),
        ("all", table([]), {}, "Protocol 'all' has no clips to part: give a corpus with at least one."),
        (
            "article",
            of_actors(range(1, 21)),
            {},
            "Protocol 'article' tests on actors 21, 22, 23, 24 and none is present: give their clips, or choose loso.",
        ),
        (
            "luna5",
            UNKNOWN,
            {},
            "Protocol 'luna5' parts the RAVDESS actors 1 to 24 and found actor unknown: choose grouped5, "
            "or say where the path holds it (--actor-from REGEX).",
        ),
        (
            "article",
            table([{"actor": "25"}]),
            {},
            "Protocol 'article' parts the RAVDESS actors 1 to 24 and found actor '25': choose grouped5, "
            "or say where the path holds it (--actor-from REGEX).",
        ),
        (
            "loso",
            UNKNOWN,
            {},
            "Protocol 'loso' keeps people apart, and 2 of 2 clips have no actor: give --group-column with a column "
            "that says who it is, say where the path holds the actor (--actor-from REGEX), or choose grouped5 with "
            "--group-column clip, by which a person may stand on both sides.",
        ),
        (
            "loso",
            of_actors([3]),
            {},
            "Protocol 'loso' tests on every clip in fold '03' and leaves nothing to train on: "
            "give clips of more actors, or choose loso or grouped5.",
        ),
        (
            "given",
            table([{"split": "train"}]),
            {},
            "Protocol 'given' found no 'test' clip: name a folder level or a manifest's split train and "
            "test, or choose grouped5.",
        ),
        (
            "grouped5",
            ALL,
            {"group_column": "site", "actor_from": "(x)"},
            "--group-column 'site' and --actor-from '(x)' both name groups: give one.",
        ),
    ],
)
def test_what_a_protocol_cannot_part_is_one_sentence(protocol, clips, options, sentence):
    with pytest.raises(UserError) as error:
        make_folds(protocol, clips, **options)
    assert str(error.value) == sentence


def test_an_unknown_group_column_lists_the_known_ones():
    with pytest.raises(UserError, match=r"No clip has a column 'town' to group by: expected one of clip, .*, site\."):
        groups(SITES, "town")


@given(st.integers(2, 6), st.integers(0, 9))
def test_inner_folds_and_validation_part_by_actor(n, seed):
    rows = np.flatnonzero(np.arange(ALL.num_rows) % 7 != 0)
    pairs = inner_folds(ALL, rows, n, seed)
    assert len(pairs) == n
    assert sorted(np.concatenate([test for _, test in pairs])) == rows.tolist()
    for train, test in [*pairs, draw_validation(ALL, rows, seed)]:
        assert sorted([*train, *test]) == rows.tolist()
        assert not actors_of(ALL, train) & actors_of(ALL, test)


def test_validation_is_a_share_of_each_gender():
    rows = np.flatnonzero(np.array([actor <= 20 for actor in range(1, 25) for _ in range(2)]))
    _, validation = draw_validation(ALL, rows, 0)
    drawn = actors_of(ALL, validation)
    assert len(drawn) == 4 and sum(actor % 2 for actor in drawn) == 2
    assert actors_of(ALL, draw_validation(ALL, rows, 1)[1]) != drawn
    few = of_actors([1, 2])
    assert len(actors_of(few, draw_validation(few, np.arange(4), 0)[1])) == 1


def test_one_actor_cannot_be_parted():
    clips = of_actors([5])
    for part in (
        lambda: draw_validation(clips, np.arange(2), 0),
        lambda: inner_folds(clips, np.arange(2), 3, 0),
    ):
        with pytest.raises(UserError, match=r"Clips of 1 actor cannot be parted for .*: give clips of two or more"):
            part()


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ({"content_id": "f0"}, {"content_id": "f0"}, "hold identical bytes"),
        ({"take": "t"}, {"take": "t"}, "are recordings of one take"),
        ({"actor": "1"}, {"actor": "01"}, "have one actor"),
    ],
)
def test_what_stands_on_both_sides_stops_the_run(left, right, same):
    clips = table([{}, left, {}, right])
    for train, validation in (([0, 1], []), ([0], [1])):
        fold = Fold("3", *(np.array(rows, np.int64) for rows in (train, validation, [2, 3])))
        with pytest.raises(UserError) as error:
            check_disjoint(clips, fold)
        assert str(error.value) == (
            f"Fold '3' trains on '/d/c1.wav' and tests on '/d/c3.wav', which {same}: "
            "leave one of them out, or put both on one side."
        )


def test_what_a_manifest_says_in_words_groups_as_well_as_what_its_column_holds():
    extra = pa.array([[("age", "twenties")], [], [("age", "twenties")]], pa.map_(pa.string(), pa.string()))
    clips = pa.table({"clip": ["a", "b", "c"], "take": ["a", "b", "c"], "age": pa.array([None, 34, None], pa.int32())})
    found = groups(clips.append_column("extra", extra), "age")
    assert found.known and found.values.tolist() == ["twenties", "34", "twenties"]


CORPORA = table(
    {"corpus": corpus, "actor": actor, "emotion": emotion}
    for corpus, actors, emotions, each in (
        ("ravdess", ("03", "04"), ("calm", "happy", "sad"), 1),
        ("emo-db", ("03", "08"), ("boredom", "happy", "sad", "disgust"), 2),
        ("mine", ("anna", "03"), ("happy", "sad", "disgust"), 3),
    )
    for actor in actors
    for emotion in emotions
    for _ in range(each)
)


def values(column, rows):
    return [CORPORA[column][int(row)].as_py() for row in rows]


def test_each_corpus_is_tested_over_the_emotions_that_both_sides_know():
    folds, empty = make_folds("cross-corpus", CORPORA)
    assert empty == 0 and [fold.name for fold in folds] == ["emo-db", "mine", "ravdess"]
    shared = [{"happy", "sad", "disgust"}, {"happy", "sad", "disgust"}, {"happy", "sad"}]
    for fold, emotions in zip(folds, shared, strict=True):
        assert set(values("corpus", fold.test)) == {fold.name}
        assert fold.name not in values("corpus", fold.train)
        assert set(values("emotion", fold.test)) == set(values("emotion", fold.train)) == emotions
    assert [len(fold.test) for fold in folds] == [12, 18, 4]


def test_corpora_count_alike_in_training_and_clips_one_in_the_mean():
    fold = make_folds("cross-corpus", CORPORA)[0][2]  # trained on 8 clips of emo-db and 12 of mine
    corpora = np.array(values("corpus", fold.train))
    soft = fold.weighted(np.ones((CORPORA.num_rows, 2), np.float32))[fold.train, 0]
    assert soft[corpora == "emo-db"].tolist() == [1.25] * 8
    assert soft[corpora == "mine"].sum() == pytest.approx(10) and soft.sum() == pytest.approx(20)
    plain = Fold("x", fold.train, fold.validation, fold.test)
    assert plain.weighted(soft[:, None]) is not None and (plain.weighted(soft[:, None])[:, 0] == soft).all()


def test_one_corpus_cannot_be_crossed_and_two_must_share_emotions():
    with pytest.raises(UserError, match=r"all clips are of one, 'ravdess': give several DATA, or a manifest with a co"):
        make_folds("cross-corpus", CORPORA.slice(0, 6))
    strange = table([{"corpus": "a", "emotion": "sad"}, {"corpus": "b", "emotion": "sad"}] * 2)
    with pytest.raises(UserError, match=r"The corpus 'a' shares 1 emotion with the others: protocol 'cross-corpus' ne"):
        make_folds("cross-corpus", strange)


def test_actors_of_two_published_corpora_are_two_people():
    told = tell_apart(CORPORA)["actor"].to_pylist()
    # 03 of a folder of one's own may be anyone's copy; anna and 04 have their names alone.
    assert sorted(set(told)) == ["03", "04", "08", "anna", "emo-db 03", "ravdess 03"]
    for fold in make_folds("cross-corpus", tell_apart(CORPORA))[0]:
        check_disjoint(tell_apart(CORPORA), fold)
    with pytest.raises(UserError, match="have one actor"):
        check_disjoint(CORPORA, make_folds("cross-corpus", CORPORA)[0][0])
