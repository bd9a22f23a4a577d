"""Corpora of the field by their file names: what they say, what breaks them, and that none is taken for another."""

import re
from itertools import product
from pathlib import PurePosixPath

import pytest

from emocore.corpora import crema_d, emo_db, emovo, nemo, savee, tess
from emocore.corpora.catalogue import CORPORA
from emocore.corpora.listing import list_corpora
from emocore.corpora.ravdess import PARTS
from emocore.errors import UserError

# Of each corpus a folder as it is published, and how many clips its authors count.
NAMES = {
    "ravdess": ["Actor_01/03-01-05-01-02-01-01.wav", "Actor_24/03-01-08-02-02-02-24.wav"],
    "crema-d": ["AudioWAV/1001_DFA_ANG_XX.wav", "AudioWAV/1040_ITH_SAD_X.wav", "AudioWAV/1091_WSI_NEU_XX.wav"],
    "tess": ["OAF_angry/OAF_back_angry.wav", "YAF_ps/YAF_youth_ps.wav", "OAF_neutral/OA_bite_neutral.wav"],
    "savee": ["DC/a01.wav", "JE/sa15.wav", "ALL/KL_su01.wav"],
    "emo-db": ["wav/03a01Fa.wav", "wav/16b10Wb.wav", "wav/08a04Ff.wav"],
    "emovo": ["f1/dis-f1-b1.wav", "m3/neu-m3-n5.wav", "m3/des-m3-n5.wav"],
    "nemo": ["samples/EB0_anger_1.wav", "samples/WR0_surprised_90.wav"],
}
OTHERS = [
    *("a01", "x/a01", "happy/1", "DC/song", "2019-03-14_interview", "Ses01F_impro01_F000", "dia0_utt0", "IMG_0001"),
    *("MSP-PODCAST_0001_0008", "1001_DFA_ANG", "EB0_anger", "YAF_back", "03a01F!", "dis-f1", "03-01-05-01-02-01"),
]


def put(root, *paths):
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 3)
    return str(root)


def rows(root, **options):
    listing = list_corpora([root], **options)
    assert not listing.failures.num_rows
    return {row["clip"]: row for row in listing.clips.to_pylist()}


def stems(path):
    parts = PurePosixPath(path)
    return parts.stem, f"{parts.parent.name}/{parts.stem}"


@pytest.mark.parametrize("corpus", [corpus for corpus in CORPORA.values() if corpus.matches], ids=lambda one: one.name)
def test_a_grammar_takes_its_own_names_and_no_others(corpus):
    for name, paths in NAMES.items():
        for path in paths:
            assert any(map(corpus.matches, stems(path))) == (name == corpus.name), path
    assert not any(map(corpus.matches, OTHERS))


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_is_known_by_its_names(tmp_path, name):
    listing = list_corpora([put(tmp_path / "any", *NAMES[name])])
    assert listing.clips["corpus"].to_pylist() == [name] * len(NAMES[name])
    assert not listing.failures.num_rows and None not in listing.clips["emotion"].to_pylist()


def test_corpora_side_by_side_keep_their_names(tmp_path):
    roots = [put(tmp_path / str(number), *paths) for number, paths in enumerate(NAMES.values())]
    listing = list_corpora(roots)
    assert set(listing.clips["corpus"].to_pylist()) == set(NAMES)
    assert not listing.failures.num_rows


def test_crema_d_and_who_its_actors_are(tmp_path):
    root = put(tmp_path / "c", *NAMES["crema-d"], "VideoFlash/1001_DFA_ANG_XX.flv")
    row = rows(root)["1040_ITH_SAD_X"]
    assert (row["actor"], row["emotion"], row["statement"], row["language"]) == ("1040", "sad", "ITH", "en")
    assert row["extra"] == [("level", "unspecified")] and row["gender"] is row["age"] is None
    table = "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n1040,42,Female,X,Y\n"
    (tmp_path / "c/VideoDemographics.csv").write_text(table)
    for place in ("c", "c/AudioWAV"):  # the table lies beside the folder of sounds
        found = rows(str(tmp_path / place))
        assert (found["1040_ITH_SAD_X"]["gender"], found["1040_ITH_SAD_X"]["age"]) == ("female", 42)
        assert found["1091_WSI_NEU_XX"]["gender"] is None
    both = [row for row in list_corpora([root]).clips.to_pylist() if row["take"] == "1001_DFA_ANG_XX"]
    assert sorted(row["modality"] for row in both) == ["audio-only", "audio-video"]
    (tmp_path / "c/VideoDemographics.csv").write_text("ActorID,Sex\n1001,Male\n")
    with pytest.raises(UserError, match=r"VideoDemographics\.csv cannot be read \(KeyError: 'Age'\), expected columns"):
        list_corpora([root])


def test_tess(tmp_path):
    found = rows(put(tmp_path, *NAMES["tess"]))
    assert [(row["actor"], row["age"], row["gender"], row["emotion"]) for row in found.values()] == [
        ("OAF", 64, "female", "angry"),
        ("OAF", 64, "female", "neutral"),
        ("YAF", 26, "female", "surprised"),
    ]


def test_savee_in_folders_or_not(tmp_path):
    found = rows(put(tmp_path, *NAMES["savee"]))
    told = {clip: (row["actor"], row["gender"], row["emotion"]) for clip, row in found.items()}
    assert told == {
        "KL_su01": ("KL", "male", "surprised"),
        "DC_a01": ("DC", "male", "angry"),
        "JE_sa15": ("JE", "male", "sad"),
    }
    assert list(rows(str(tmp_path / "JE"), kind="savee")) == ["JE_sa15"]


def test_boredom_of_emo_db_has_a_label_where_the_set_has_it(tmp_path, capsys):
    root = put(tmp_path, "03a01Fa.wav", "08b02Lb.wav", "16a07N.wav")
    found = rows(root)
    assert found["08b02Lb"]["emotion"] is None and found["08b02Lb"]["soft_label"] == [0] * 8
    assert capsys.readouterr().out.startswith("1 file of boredom, which is not among the emotions, taken as unlabelled")
    assert (found["03a01Fa"]["gender"], found["03a01Fa"]["age"], found["03a01Fa"]["repetition"]) == ("male", 31, 1)
    assert found["16a07N"]["repetition"] is None and found["16a07N"]["language"] == "de"
    own = ("neutral", "happy", "boredom")
    assert rows(root, emotions=own)["08b02Lb"]["emotion"] == "boredom"
    assert rows(root, mapping={"boredom": "neutral"})["08b02Lb"]["emotion"] == "neutral"


def test_calm_of_ravdess_may_count_as_neutral(tmp_path):
    root = put(tmp_path, "03-01-02-01-01-01-01.wav")
    assert rows(root, mapping={"calm": "neutral"})["03-01-02-01-01-01-01"]["emotion"] == "neutral"


def test_emovo_and_nemo(tmp_path):
    italian = rows(put(tmp_path / "i", *NAMES["emovo"]))
    assert [(row["actor"], row["gender"], row["emotion"]) for row in italian.values()] == [
        ("f1", "female", "disgust"),
        ("m3", "male", "disgust"),
        ("m3", "male", "neutral"),
    ]
    polish = rows(put(tmp_path / "p", *NAMES["nemo"]))
    assert (polish["WR0_surprised_90"]["actor"], polish["WR0_surprised_90"]["age"]) == ("WR0", 23)
    assert {row["language"] for row in (*italian.values(), *polish.values())} == {"it", "pl"}


@pytest.mark.parametrize(
    ("read", "name", "sentence"),
    [
        (crema_d.read_name, "1092_DFA_ANG_XX", "has actor '1092', expected one of 1001, 1002"),
        (crema_d.read_name, "1001_DFA_SUR_XX", "has emotion 'SUR', expected one of ANG, DIS, FEA, HAP, NEU, SAD."),
        (crema_d.read_name, "1001_DFA_ANG_QQ", "has level 'QQ', expected one of LO, MD, HI, XX"),
        (crema_d.read_name, "1001_ABC_ANG_XX", "has sentence 'ABC', expected one of DFA"),
        (crema_d.read_name, "notes", "is not named as its corpus names files: expected ACTOR_SENTENCE_EMOTION_LEVEL"),
        (tess.read_name, "OAF_back_calm", "has emotion 'calm', expected one of angry"),
        (savee.read_name, "x/DC_x01", "has emotion 'x', expected one of a, d, f, h, n, sa, su."),
        (emo_db.read_name, "01a01Fa", "has speaker '01', expected one of 03, 08"),
        (emo_db.read_name, "03a03Fa", "has text 'a03', expected one of a01"),
        (emo_db.read_name, "03a01Xa", "has emotion 'X', expected one of W, L, E, A, F, T, N."),
        (emovo.read_name, "tri-f4-b1", "has actor 'f4', expected one of f1, f2, f3, m1, m2, m3."),
        (emovo.read_name, "tri-f1-d3", "has sentence 'd3', expected one of b1"),
        (nemo.read_name, "EB0_anger_91", "has sentence '91', expected one of 1, 2"),
        (nemo.read_name, "XX0_anger_1", "has speaker 'XX0', expected one of EB0"),
    ],
)
def test_a_wrong_part_is_one_sentence(read, name, sentence):
    with pytest.raises(UserError, match=re.escape(f"{PurePosixPath(name).stem!r} {sentence}")):
        read(PurePosixPath(f"/root/{name}.wav"))


def test_names_that_break_the_grammar_are_failures_and_the_rest_is_listed(tmp_path):
    listing = list_corpora([put(tmp_path, "03a01Fa.wav", "03a01Xa.wav", "09a01Nb.wav")])
    assert listing.clips["clip"].to_pylist() == ["03a01Fa", "09a01Nb"]
    (failure,) = listing.failures.to_pylist()
    assert (failure["reason"], failure["stage"]) == ("bad_name", "list")


def test_the_corpora_have_as_many_names_as_their_authors_published():
    # Costantini et al. (2014): 6 actors, 14 sentences, 7 emotions. Jackson and Haq (2014): 4 speakers.
    names = [f"{e}-{a}-{s}" for e, a, s in product(emovo.EMOTION_CODES, emovo.ACTORS, emovo.SENTENCES) if e != "des"]
    assert len({emovo.read_name(PurePosixPath(f"{name}.wav"))["clip"] for name in names}) == 588
    assert len(savee.ACTORS) * (6 * 15 + 30) == 480
    assert len(crema_d.ACTORS) == 91 and len(crema_d.SENTENCES) == 12
    assert (len(emo_db.SPEAKERS), len(emo_db.TEXTS), len(nemo.SPEAKERS)) == (10, 10, 9)
    assert len(PARTS["actor"]) == 24


def test_a_manifest_may_name_corpora(tmp_path):
    put(tmp_path, "a.wav", "b.wav")
    (tmp_path / "m.csv").write_text("path,corpus,emotion\na.wav,IEMOCAP,sad\nb.wav,,happy\n")
    found = list_corpora([tmp_path / "m.csv"]).clips["corpus"].to_pylist()
    assert found == ["IEMOCAP", f"{tmp_path.name}/m.csv"]
