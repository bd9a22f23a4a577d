"""Search spaces: what a file may say, and laws of what is drawn from any space."""

import dataclasses
import json
import math
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from emocore.errors import UserError
from emocore.models.audio_settings import DEFAULTS
from emocore.models.boosted import XgboostClassifier
from emocore.models.catalogue import MODELS, find_model, network_spec
from emocore.models.classical import ESTIMATORS, SklearnClassifier
from emocore.models.network_settings import NetworkSettings
from emocore.models.parameters import OURS, SEARCHED, defaults_of, known_parameters
from emocore.models.space_file import read_space
from emocore.models.spaces import Choice, Range, Space, draw, grid, grid_around, setting_key

each_model = pytest.mark.parametrize("model", SEARCHED)
SVC_KNOWS = "C, coef0, degree, gamma, kernel, max_iter, shrinking, tol"


@pytest.fixture
def told(tmp_path):
    """The sentence that a --space file is refused with, without the file's name."""

    def read(text, model="svc"):
        path = tmp_path / "space.toml"
        path.write_text(text)
        with pytest.raises(UserError) as error:
            read_space(model, str(path))
        sentence = str(error.value)
        assert sentence.startswith(f"--space {path} ") and sentence.endswith(".") and "\n" not in sentence
        return sentence.removeprefix(f"--space {path} ")

    return read


@pytest.fixture
def space_of(tmp_path):
    def read(text, model="svc"):
        path = tmp_path / "space.toml"
        path.write_text(text)
        return read_space(model, str(path))

    return read


# The defaults


@each_model
def test_every_default_space_holds_parameters_that_the_model_has_and_our_own_values_of_them(model):
    space = read_space(model)
    ours = defaults_of(model, space)
    assert space and list(ours) == list(space) and set(space) <= set(known_parameters(model))
    for name, kind in space.items():
        assert ours[name] == "scale" or holds(kind, ours[name]), name


@each_model
def test_what_is_drawn_makes_the_model(model):
    for setting in draw(read_space(model), 20, seed=1):
        if model in ESTIMATORS:
            made = SklearnClassifier(model, settings=setting).pipeline[-1].get_params()
            assert all(made.get(name, made.get(f"estimator__{name}")) == setting[name] for name in setting)
        elif model == "xgboost":
            XgboostClassifier(model, settings=setting)
            assert xgboost.XGBClassifier(**setting).get_params().items() >= setting.items()
        elif model == "cnn":
            made = NetworkSettings.from_json({**dataclasses.asdict(network_spec("cnn").settings), **setting})
            assert dataclasses.asdict(made).items() >= setting.items()
        else:
            assert set(setting) <= set(find_model(model).parameters())


def test_our_values_are_those_of_the_models():
    forest = RandomForestClassifier(n_estimators=500).get_params()
    perceptron = {**MLPClassifier(alpha=1.0).get_params(), "hidden_layer_sizes": [100]}
    machines = {"svc": SVC(C=10.0).get_params(), "svc-linear": SVC(C=1.0, kernel="linear").get_params()}
    for model, expected in {**machines, "random-forest": forest, "mlp": perceptron, "audio-conv1d": DEFAULTS}.items():
        known = known_parameters(model)
        assert known == {name: expected[name] for name in known} and len(known) >= 4
    network = known_parameters("cnn")
    assert (
        NetworkSettings.from_json({**dataclasses.asdict(NetworkSettings()), **network}) == network_spec("cnn").settings
    )


def test_the_values_that_we_state_of_xgboost_are_its_own():
    booster = xgboost.XGBClassifier(n_jobs=1).fit(np.arange(9.0)[:, None], np.arange(9) % 3).get_booster()
    config = json.loads(booster.save_config())["learner"]
    trees = config["gradient_booster"]
    found = {**trees["tree_train_param"], **trees["gbtree_train_param"], **trees["gbtree_model_param"]}
    found |= {"booster": config["learner_train_param"]["booster"], "n_estimators": booster.num_boosted_rounds()}
    for name, value in known_parameters("xgboost").items():
        assert found[name] == value if isinstance(value, str) else math.isclose(float(found[name]), value, rel_tol=1e-6)


def test_no_model_varies_what_a_job_sets():
    for model in SEARCHED:
        assert not set(known_parameters(model)) & set(OURS)
    assert "kernel" not in known_parameters("svc-linear")


def test_a_parameter_without_number_keeps_its_word_and_only_the_space_is_answered():
    assert defaults_of("svc", {"gamma": Range(0.001, 1.0, log=True)}) == {"gamma": "scale"}
    assert defaults_of("random-forest", {"max_depth": Range(2, 9, whole=True)}) == {"max_depth": None}


def test_spaces_are_read_without_tensorflow_and_ray():
    code = (
        "import sys; from emocore.models.parameters import SEARCHED; from emocore.models.space_file import read_space\n"
        "for model in SEARCHED: read_space(model)\n"
        "sys.exit(bool({'tensorflow', 'keras', 'ray', 'optuna'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# What a file says


def test_every_way_to_write_a_parameter(space_of):
    text = 'kernel = ["rbf", "linear"]\nC = { log = [1, 1000] }\ntol = { uniform = [0, 0.5] }\n'
    assert space_of(text + "degree = { int = [2, 5] }\nmax_iter = { logint = [10, 1e3] }") == {
        "kernel": Choice(("rbf", "linear")),
        "C": Range(1.0, 1000.0, log=True),
        "tol": Range(0.0, 0.5),
        "degree": Range(2, 5, whole=True),
        "max_iter": Range(10, 1000, log=True, whole=True),
    }


def test_numbers_are_floats_but_in_whole_ranges(space_of):
    space = space_of("C = { log = [1, 1000] }\nmax_iter = { logint = [10, 1e3] }")
    for setting in [*draw(space, 30, 0), *grid(space, 30)]:
        assert [type(setting[name]) for name in space] == [float, int]


def test_the_order_of_the_file_is_that_of_the_space(space_of):
    assert list(space_of("tol = [0.1]\nC = [1]\ngamma = [1]")) == ["tol", "C", "gamma"]


def test_a_file_may_have_a_table_for_each_model(space_of):
    text = "[svc]\nC = [1, 2]\n[xgboost]\nmax_depth = [3]\n[mlp]\nhidden_layer_sizes = [[50], [50, 20]]"
    assert space_of(text, "svc") == {"C": Choice((1, 2))}
    assert space_of(text, "xgboost") == {"max_depth": Choice((3,))}
    assert space_of(text, "mlp") == {"hidden_layer_sizes": Choice(([50], [50, 20]))}


def test_values_that_only_look_alike_are_different_choices(space_of):
    # To a forest max_features = 1 is one column, and 1.0 all of them.
    text = "max_features = [1, 1.0]\nbootstrap = [true, false]\nn_estimators = { int = [9, 9] }"
    assert len(grid(space_of(text, "random-forest"), 4)) == 4


@pytest.mark.parametrize("model", [*sorted(set(MODELS) - set(SEARCHED)), "lstm"])
def test_a_model_without_a_space(model):
    with pytest.raises(UserError) as error:
        read_space(model)
    assert str(error.value) == f"--model {model!r} has no parameters to search: choose one of {', '.join(SEARCHED)}."


def test_a_file_that_cannot_be_read(tmp_path, told):
    with pytest.raises(UserError) as error:
        read_space("svc", str(tmp_path / "none.toml"))
    assert str(error.value) == (
        f"--space {tmp_path}/none.toml cannot be read (No such file or directory): name a TOML file of parameters."
    )
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        read_space("svc", str(tmp_path))
    for broken in ("C = ", "C: [1, 2]", "[svc", "C = [1]\nC = [2]", "C = " + "[" * 9999):
        sentence = told(broken)
        assert sentence.startswith("is not TOML (")
        assert sentence.endswith("): write a line a parameter, such as C = { log = [0.1, 1000] }.")
    (tmp_path / "latin.toml").write_bytes(b'kernel = ["\xe4"]')
    with pytest.raises(UserError, match="is not TOML"):
        read_space("svc", str(tmp_path / "latin.toml"))


def test_a_mark_of_unicode_before_the_first_line_is_no_fault(space_of):
    assert space_of("\ufeffC = [1]") == {"C": Choice((1,))}


@pytest.mark.parametrize("text", ["", "# C = [1]\n", "[svc]\n", "[svc]\n[mlp]\nalpha = [1]"])
def test_a_file_without_parameters(told, text):
    assert told(text) == "has no parameters: write a line a parameter, such as C = { log = [0.1, 1000] }."


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[mlp]\nalpha = [1]\n[cnn]", "has tables for mlp, cnn, and none for svc: add [svc]."),
        ("C = [1]\n[svc]\nC = [1]", "has 'C' outside of its tables: move it below [svc]."),
        ("svc = 3", "gives svc as 3: make it a table, [svc], with a line a parameter."),
        (
            "gama = [1]",
            f"has 'gama' (did you mean gamma?), which a search of svc cannot vary: choose from {SVC_KNOWS}.",
        ),
        ("subsample = [1]", f"has 'subsample', which a search of svc cannot vary: choose from {SVC_KNOWS}."),
        (
            "[svm]\nC = [1]",
            f"has 'svm' (did you mean svc?), which a search of svc cannot vary: choose from {SVC_KNOWS}.",
        ),
        ("random_state = [1]", "has 'random_state', which --seed sets: leave it out."),
        ("n_jobs = { int = [1, 4] }", "has 'n_jobs', which --cpus-per-fit sets: leave it out."),
        ("class_weight = [1]", "has 'class_weight', which --class-weight sets: leave it out."),
        ("device = ['cuda']", "has 'device', which emocore sets: leave it out."),
        ("[svc]\nC = [1]\nverbose = [1]", "has 'verbose', which emocore sets: leave it out."),
    ],
)
def test_a_table_or_a_parameter_that_is_not_the_models(told, text, sentence):
    assert told(text) == sentence


@pytest.mark.parametrize(
    ("model", "name", "option"),
    [
        ("xgboost", "verbosity", "emocore"),
        ("xgboost", "objective", "emocore"),
        ("xgboost", "seed", "--seed"),
        ("audio-conv1d", "threads", "--cpus-per-fit"),
        ("cnn", "pixels", "--pixels"),
        ("cnn", "gpus_per_worker", "--gpus-per-worker"),
    ],
)
def test_a_parameter_that_a_job_sets(told, model, name, option):
    assert told(f"{name} = [1]", model) == f"has '{name}', which {option} sets: leave it out."


FORMS = "write a list of choices, or a range such as { log = [0.1, 1000] }; uniform, log, int and logint are known."
PLAIN = "write texts, finite numbers, true, false, or lists of these."


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("10", f"as 10: {FORMS}"),
        ("'rbf'", f"as 'rbf': {FORMS}"),
        ("{ normal = [0, 1] }", f"as {{'normal': [0, 1]}}: {FORMS}"),
        ("{ log = [1, 2], int = [1, 2] }", f"as {{'log': [1, 2], 'int': [1, 2]}}: {FORMS}"),
        ("{}", f"as {{}}: {FORMS}"),
        ("[]", "no choices: write at least one between the brackets."),
        ("[1, nan]", f"the choice nan: {PLAIN}"),
        ("[[1, inf]]", f"the choice [1, inf]: {PLAIN}"),
        ("[{ log = [1, 2] }]", f"the choice {{'log': [1, 2]}}: {PLAIN}"),
        ("[2020-01-01]", f"the choice datetime.date(2020, 1, 1): {PLAIN}"),
        ("[1, 2, 1]", "the choice 1 twice: leave one out."),
        ("[[50], [50]]", "the choice [50] twice: leave one out."),
        ("{ log = 3 }", "the bounds 3: write two finite numbers, such as log = [1, 100]."),
        ("{ int = [1] }", "the bounds [1]: write two finite numbers, such as int = [1, 100]."),
        ("{ int = [1, 2, 3] }", "the bounds [1, 2, 3]: write two finite numbers, such as int = [1, 100]."),
        ("{ uniform = ['a', 2] }", "the bounds ['a', 2]: write two finite numbers, such as uniform = [1, 100]."),
        ("{ uniform = [true, 2] }", "the bounds [True, 2]: write two finite numbers, such as uniform = [1, 100]."),
        ("{ uniform = [0, nan] }", "the bounds [0, nan]: write two finite numbers, such as uniform = [1, 100]."),
        ("{ log = [1, inf] }", "the bounds [1, inf]: write two finite numbers, such as log = [1, 100]."),
        ("{ int = [1, 2.5] }", "the bounds [1, 2.5]: write whole numbers, or uniform."),
        ("{ logint = [0.5, 2] }", "the bounds [0.5, 2]: write whole numbers, or log."),
        ("{ uniform = [2, 1] }", "the empty range [2, 1]: write the lower bound first."),
        ("{ log = [0, 1] }", "the bounds [0, 1], and log has none at or below 0: raise it, or use uniform."),
        ("{ logint = [-1, 9] }", "the bounds [-1, 9], and log has none at or below 0: raise it, or use int."),
    ],
)
def test_a_value_that_is_neither_choices_nor_a_range(told, value, sentence):
    assert told(f"C = {value}") == f"gives C {sentence}"


def test_a_number_of_a_thousand_digits_is_refused(told):
    assert "write two finite numbers" in told(f"C = {{ int = [1, 1{'0' * 999}] }}")


# Laws of any space


def ranges(bounds, **kind):
    return st.tuples(bounds, bounds).map(lambda pair: Range(min(pair), max(pair), **kind))


KINDS = st.one_of(
    ranges(st.floats(-1e3, 1e3)),
    ranges(st.floats(1e-9, 1e9), log=True),
    ranges(st.integers(-20, 20), whole=True),
    ranges(st.integers(1, 300), log=True, whole=True),
    st.lists(st.sampled_from(["rbf", True, None, 1, 1.0, 7]) | st.lists(st.integers(0, 3)), min_size=1, max_size=4)
    .map(lambda values: list({setting_key({"": value}): value for value in values}.values()))
    .map(lambda values: Choice(tuple(values))),
)
SPACES = st.dictionaries(st.sampled_from("abcd"), KINDS, min_size=1)
SEEDS = st.integers(0, 2**32 - 1)


def holds(kind, value):
    if isinstance(kind, Choice):
        return any(value is other or value == other for other in kind.values)
    return kind.low <= value <= kind.high and isinstance(value, int if kind.whole else float)


def size(space: Space):
    """How many settings a space holds: infinity with a range of floats, None where it is too narrow to say."""
    floats = [kind for kind in space.values() if isinstance(kind, Range) and not kind.whole and kind.low < kind.high]
    if floats:
        return math.inf if any(kind.high - kind.low > 1e-6 * abs(kind.high) for kind in floats) else None
    return math.prod(len(k.values) if isinstance(k, Choice) else int(k.high - k.low) + 1 for k in space.values())


def check(space, settings):
    assert len({setting_key(setting) for setting in settings}) == len(settings)
    for setting in settings:
        assert list(setting) == list(space) and all(holds(space[name], value) for name, value in setting.items())
        assert json.loads(json.dumps(setting)) == setting


@given(SPACES, st.integers(0, 60), SEEDS)
def test_draws_lie_in_the_space_and_differ_as_long_as_there_are_others(space, n, seed):
    settings = draw(space, n, seed)
    check(space, settings)
    assert len(settings) <= n and (size(space) is None or len(settings) == min(n, size(space)))


@given(SPACES, st.integers(0, 40), st.integers(0, 40), SEEDS)
def test_the_first_draws_do_not_depend_on_how_many_follow(space, n, more, seed):
    assert draw(space, n + more, seed)[:n] == draw(space, n, seed)


@given(SPACES, st.integers(1, 300))
def test_a_grid_has_all_choices_and_the_ends_of_all_ranges(space, at_most):
    try:
        settings = grid(space, at_most)
    except UserError:
        coarsest = [len(k.values) if isinstance(k, Choice) else 1 + (k.low < k.high) for k in space.values()]
        assert math.prod(coarsest) > at_most
        return
    check(space, settings)
    taken = {name: [setting[name] for setting in settings] for name in space}
    assert 1 <= len(settings) <= at_most
    assert len(settings) == math.prod(len({setting_key({"": v}) for v in values}) for values in taken.values())
    for name, kind in space.items():
        ends = kind.values if isinstance(kind, Choice) else (kind.low, kind.high)
        assert all(end in taken[name] for end in ends)


@given(SPACES, SEEDS, st.integers(1, 100))
def test_what_lies_around_a_setting_is_near_it_and_not_itself(space, seed, at_most):
    [best] = draw(space, 1, seed)
    settings = grid_around(space, best, at_most)
    check(space, [best, *settings])
    assert len(settings) < at_most
    for name, kind in space.items():
        near = {setting_key({"": setting[name]}) for setting in settings} | {setting_key({"": best[name]})}
        assert len(near) <= (1 if isinstance(kind, Choice) else 3)
        for setting in settings:
            if isinstance(kind, Range) and not kind.whole:
                away = abs(kind.share(setting[name]) - kind.share(best[name]))
                assert away <= 1 / 6 + 0.01 or kind.high - kind.low < 0.01 * abs(kind.high)


@given(ranges(st.floats(1e-6, 1e6), log=True) | ranges(st.floats(-10, 10)), st.floats(0, 1))
def test_share_takes_back_what_at_does(kind, share):
    value = kind.at(share)
    assert kind.low <= value <= kind.high
    if kind.high - kind.low > 0.1 * max(abs(kind.low), abs(kind.high)):
        assert math.isclose(kind.share(value), share, abs_tol=0.01)


# Cases worked out by hand


def test_another_seed_draws_others():
    space = {"C": Range(1e-3, 1e3, log=True)}
    assert draw(space, 5, 1) == draw(space, 5, 1) != draw(space, 5, 2)


def test_draws_are_even_on_the_scale_of_the_range():
    drawn = draw({"a": Range(1e-3, 1e3, log=True), "b": Range(-2.0, 6.0)}, 500, seed=3)
    assert kstest([(math.log10(setting["a"]) + 3) / 6 for setting in drawn], "uniform").pvalue > 0.01
    assert kstest([(setting["b"] + 2) / 8 for setting in drawn], "uniform").pvalue > 0.01


def test_the_ends_of_whole_ranges_are_drawn_as_often_as_what_lies_between():
    space = {"even": Range(1, 4, whole=True), "log": Range(1, 4, log=True, whole=True)}
    first = [draw(space, 1, seed)[0] for seed in range(2000)]
    even, logarithmic = (Counter(setting[name] for setting in first) for name in space)
    for value in (1, 2, 3, 4):
        assert abs(even[value] - 500) < 80
        # As if 1.5 … 2.5 were 2: the width on the scale, of log(4.5 / 0.5) in all.
        assert abs(logarithmic[value] - 2000 * math.log((value + 0.5) / (value - 0.5)) / math.log(9)) < 100


def test_fractions_have_four_digits_and_whole_numbers_all_of_theirs():
    space = {"a": Range(1e-5, 1e5, log=True), "b": Range(10**6, 10**7, whole=True)}
    drawn = draw(space, 200, seed=0)
    assert all(setting["a"] == float(f"{setting['a']:.4g}") for setting in drawn)
    assert any(setting["b"] % 1000 for setting in drawn)


def test_a_narrow_range_does_not_run_out_of_digits():
    assert len(draw({"a": Range(0.5, 0.5003)}, 100, seed=0)) == 100


def test_a_space_is_drawn_to_its_last_setting():
    space = {"a": Range(1, 40, log=True, whole=True), "b": Choice(("x", "y", "z"))}
    assert len(draw(space, 10_000, seed=0)) == 120
    assert draw({"a": Choice((5,))}, 3, seed=0) == [{"a": 5}]


def test_a_grid_is_as_fine_as_may_be():
    space = {"C": Range(0.1, 1000, log=True), "gamma": Range(0.0, 1.0), "kernel": Choice(("rbf", "linear"))}
    assert [len(grid(space, n)) for n in (8, 17, 18, 31, 32, 2000)] == [8, 8, 18, 18, 32, 1922]
    found = grid(space, 50)
    np.testing.assert_allclose(sorted({setting["C"] for setting in found}), np.geomspace(0.1, 1000, 5), rtol=1e-3)
    np.testing.assert_allclose(sorted({setting["gamma"] for setting in found}), np.linspace(0, 1, 5), rtol=1e-3)


def test_whole_ranges_of_a_grid_have_no_number_twice():
    space = {"depth": Range(2, 4, whole=True), "trees": Range(1, 1000, log=True, whole=True), "one": Range(0.3, 0.3)}
    found = grid(space, 21)
    assert sorted({setting["depth"] for setting in found}) == [2, 3, 4]
    assert sorted({setting["trees"] for setting in found}) == [1, 3, 10, 32, 100, 316, 1000]
    assert {setting["one"] for setting in found} == {0.3} and len(found) == 21


def test_a_whole_range_that_fits_is_in_the_grid_number_for_number():
    space = {"leaf": Range(1, 9, log=True, whole=True)}
    assert [setting["leaf"] for setting in grid(space, 9)] == list(range(1, 10))


def test_a_grid_of_choices_alone_is_all_of_them():
    assert grid({"a": Choice((1, 2)), "b": Choice(("x",))}, 9) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]
    assert grid({"a": Choice((1,)), "b": Range(2, 2, whole=True)}, 1) == [{"a": 1, "b": 2}]


def test_a_grid_that_does_not_fit():
    space = {"C": Range(0.1, 1000, log=True), "gamma": Range(0.0, 1.0), "kernel": Choice(("rbf", "linear"))}
    with pytest.raises(UserError) as error:
        grid(space, 7)
    assert str(error.value) == (
        "The coarsest grid has 8 settings, more than the 7 that may be tried: give --samples 8, or a --space with "
        "fewer parameters or choices."
    )


def test_a_step_around_the_best_is_a_sixth_of_the_scale():
    space = {"C": Range(0.001, 1000, log=True), "gamma": Range(0.0, 6.0), "kernel": Choice(("rbf", "linear"))}
    best = {"C": 10.0, "gamma": 6.0, "kernel": "rbf"}
    pairs = [(setting["C"], setting["gamma"]) for setting in grid_around(space, best, 100)]
    assert sorted(pairs) == [(1.0, 5.0), (1.0, 6.0), (10.0, 5.0), (100.0, 5.0), (100.0, 6.0)]
    assert {setting["kernel"] for setting in grid_around(space, best, 100)} == {"rbf"}


def test_only_the_first_ranges_vary_where_all_are_too_many():
    space = {name: Range(0.0, 6.0) for name in "abc"}
    best = dict.fromkeys("abc", 3.0)
    assert [len(grid_around(space, best, n)) for n in (1, 3, 8, 9, 26, 27)] == [0, 2, 2, 8, 8, 26]
    assert all(setting["c"] == 3.0 for setting in grid_around(space, best, 9))


def test_neighbours_of_a_whole_number_are_at_least_one_away():
    space = {"depth": Range(1, 4, whole=True)}
    assert grid_around(space, {"depth": 2}, 9) == [{"depth": 1}, {"depth": 3}]
    assert grid_around(space, {"depth": 4}, 9) == [{"depth": 3}]


def test_around_a_value_that_the_space_does_not_hold():
    space = {"gamma": Range(0.001, 1.0, log=True), "trees": Range(100, 400, whole=True)}
    assert grid_around(space, {"gamma": "scale", "trees": 500}, 9) == [
        {"gamma": "scale", "trees": 350},
        {"gamma": "scale", "trees": 400},
    ]


def test_the_key_of_a_setting_tells_numbers_apart_and_not_orders():
    assert setting_key({"b": [1], "a": None}) == setting_key({"a": None, "b": [1]}) == '{"a": null, "b": [1]}'
    assert len({setting_key({"a": value}) for value in (1, 1.0, True, "1")}) == 4
