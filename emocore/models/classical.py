"""The article's models over the 160 columns: support vectors, a forest, a perceptron."""

import itertools
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from emocore.errors import UserError
from emocore.models.base import Pair, Parts, Settings, weighted_rows
from emocore.models.classes import OfClasses, check_classes, spread
from emocore.models.foreign import check_types, check_zip
from emocore.models.trees import check_tree
from emocore.storage.files import write_bytes

# Every object that our own save writes, by module, class and the loader that brings it to life: nothing else is read.
_PLAIN = {
    ("builtins", "dict", "DictNode"),
    ("builtins", "list", "ListNode"),
    ("builtins", "str", "JsonNode"),
    ("builtins", "str", "TypeNode"),
    ("builtins", "tuple", "TupleNode"),
    ("numpy", "float64", "NdArrayNode"),
    ("numpy", "int64", "NdArrayNode"),
    ("numpy", "ndarray", "NdArrayNode"),
    ("sklearn.pipeline", "Pipeline", "ObjectNode"),
    ("sklearn.preprocessing._data", "StandardScaler", "ObjectNode"),
    ("sklearn.preprocessing._label", "LabelBinarizer", "ObjectNode"),
}
_SVC = {
    ("sklearn.multiclass", "OneVsRestClassifier", "ObjectNode"),
    ("sklearn.svm._classes", "SVC", "ObjectNode"),
}
KNOWN_TYPES = {
    "svc": frozenset(_PLAIN | _SVC),
    "svc-linear": frozenset(_PLAIN | _SVC),
    "random-forest": frozenset(
        _PLAIN
        | {
            ("sklearn.ensemble._forest", "RandomForestClassifier", "ObjectNode"),
            ("sklearn.tree._classes", "DecisionTreeClassifier", "ObjectNode"),
            ("sklearn.tree._tree", "Tree", "TreeNode"),
        }
    ),
    "mlp": frozenset(
        _PLAIN
        | {
            ("numpy.random.mtrand", "RandomState", "RandomStateNode"),
            ("sklearn.neural_network._multilayer_perceptron", "MLPClassifier", "ObjectNode"),
            ("sklearn.neural_network._stochastic_optimizers", "AdamOptimizer", "ObjectNode"),
            ("sklearn.neural_network._stochastic_optimizers", "SGDOptimizer", "ObjectNode"),
        }
    ),
}
# Of those skops does not trust these by itself.
TRUSTED_TYPES = (
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
)

_MOST_DEGREE = 100


def _svc(**settings: Any) -> Any:
    # The weights must reach the inner machines, so the request stands there, not on OneVsRestClassifier.
    return OneVsRestClassifier(SVC(**settings).set_fit_request(sample_weight=True))


# name → (estimator, scale the columns first, default settings, takes a seed)
ESTIMATORS: dict[str, tuple[Callable[..., Any], bool, dict[str, Any], bool]] = {
    "svc": (_svc, True, {"C": 10.0, "gamma": "scale"}, False),
    "svc-linear": (_svc, True, {"C": 1.0, "kernel": "linear"}, False),
    "random-forest": (RandomForestClassifier, False, {"n_estimators": 500}, True),
    "mlp": (MLPClassifier, True, {"hidden_layer_sizes": (100,), "alpha": 1.0, "max_iter": 200}, True),
}


class SklearnClassifier(OfClasses):
    """One of ESTIMATORS behind a scaler, fitted on soft labels."""

    def __init__(self, name: str, seed: int = 0, threads: int = 1, settings: Settings | None = None) -> None:
        make, scaled, defaults, seeded = ESTIMATORS[name]
        options: Settings = {**defaults, **(settings or {}), **({"random_state": seed} if seeded else {})}
        if name == "random-forest":
            options["n_jobs"] = threads
        self.threads = threads
        with sklearn.config_context(enable_metadata_routing=True):
            scaler = [("scale", StandardScaler().set_fit_request(sample_weight=False))] if scaled else []
            model = make(**options)
            if make is not _svc:
                model.set_fit_request(sample_weight=True)
            self.pipeline = Pipeline([*scaler, ("model", model)])
        self.classes = np.zeros(0, np.int64)

    def fit_parts(
        self,
        x: NDArray[np.float32],
        soft: NDArray[np.float32],
        weights: NDArray[np.float32],
        validation: Pair | None = None,
    ) -> Parts:
        """Fit on float32[n, 160], soft labels [n, k], and the classes' weights [k]; in one piece."""
        rows, target, weight = weighted_rows(soft, weights)
        self.classes, self.n_emotions = np.unique(target), soft.shape[1]
        with (
            sklearn.config_context(enable_metadata_routing=True),
            threadpool_limits(self.threads),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", ConvergenceWarning)
            # Weights of one are none: with any, scikit-learn (1.9) draws a forest's samples in another way.
            told = {} if (weight == 1).all() else {"sample_weight": weight}
            self.pipeline.fit(x[rows].astype(np.float64), target, **told)
        self._forget_requests()
        yield 1.0
        return {}

    def _forget_requests(self) -> None:
        # The fitted parts do not need them, and skops follows their cycles without end.
        model = self.pipeline[-1]
        inner = [getattr(model, "estimator", None), *getattr(model, "estimators_", [])]
        for part in [*(part for _, part in self.pipeline.steps), *inner]:
            if part is not None:
                vars(part).pop("_metadata_request", None)

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return scores float64[n, k] whose softmax over a temperature is the probability; −inf: class unknown."""
        # In float64 the sums of a row do not depend, to float32's last bit, on the rows beside it.
        x = x.astype(np.float64)
        with threadpool_limits(self.threads):
            if hasattr(self.pipeline, "decision_function"):
                scores = np.asarray(self.pipeline.decision_function(x), dtype=np.float64)
                if scores.ndim == 1:  # scikit-learn gives two classes one column
                    scores = np.column_stack([-scores, scores])
            else:
                scores = np.log(np.clip(self.pipeline.predict_proba(x), 1e-6, None))
        return spread(scores, self.classes, self.n_emotions)

    def save(self, folder: Path) -> None:
        """Write model.skops, which holds no pickle."""
        import skops.io  # noqa: PLC0415 - half a second, which the trials of a search do not need

        write_bytes(folder / "model.skops", skops.io.dumps(self.pipeline, compression=zipfile.ZIP_DEFLATED))

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        """Read model.skops. Raises UserError where it is not, to the last array, what `save` writes for that model."""
        import skops.io  # noqa: PLC0415 - half a second, which the trials of a search do not need

        path = folder / "model.skops"
        check_zip(path)
        check_types(path, KNOWN_TYPES[name])
        classifier = cls(name)
        expected = _types(classifier.pipeline)
        classifier.pipeline = skops.io.load(path, trusted=list(TRUSTED_TYPES))
        try:
            if _types(classifier.pipeline) != expected:
                raise ValueError("other steps")
            classifier.classes = np.asarray(classifier.pipeline.classes_, dtype=np.int64)
            check_classes(classifier.classes)
            _check_fitted(classifier.pipeline[-1], int(classifier.pipeline.n_features_in_), len(classifier.classes))
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            raise UserError(f"{path} is no {name} ({error}): use a bundle that you trust.") from error
        if "n_jobs" in classifier.pipeline[-1].get_params():
            classifier.pipeline[-1].set_params(n_jobs=classifier.threads)
        return classifier


def _types(pipeline: Any) -> list[type]:
    """Return the types of a pipeline's steps, and of the machine inside the last one."""
    steps = [step for _, step in pipeline.steps] if isinstance(pipeline, Pipeline) else [pipeline]
    return [type(step) for step in [*steps, getattr(steps[-1], "estimator", None)]]


def _check_fitted(model: Any, n_columns: int, n_classes: int) -> None:
    """Raise ValueError, TypeError or AttributeError where compiled code would read beyond what a model holds."""
    if isinstance(model, RandomForestClassifier):
        for tree in model.estimators_:
            if type(tree).__name__ != "DecisionTreeClassifier" or tree.tree_.n_features != n_columns:
                raise ValueError("a tree of other columns")
            nodes = tree.tree_
            check_tree(nodes.children_left, nodes.children_right, nodes.feature, n_columns)
            if nodes.value.shape != (nodes.node_count, 1, n_classes):
                raise ValueError("a tree of other classes")
    elif isinstance(model, OneVsRestClassifier):
        if len(model.estimators_) != (1 if n_classes == 2 else n_classes):
            raise ValueError("another number of machines")
        for machine in model.estimators_:
            _check_machine(machine, n_columns)
    else:
        sides = [n_columns, *(len(bias) for bias in model.intercepts_)]
        if [weights.shape for weights in model.coefs_] != list(itertools.pairwise(sides)):
            raise ValueError("layers that do not fit together")


def _check_machine(machine: Any, n_columns: int) -> None:
    if type(machine) is not SVC or machine._sparse:
        raise ValueError("a machine of another kind")
    n = len(machine.support_vectors_)
    shapes = [machine.support_vectors_.shape, machine._dual_coef_.shape, machine._intercept_.shape]
    if shapes != [(n, n_columns), (1, n), (1,)] or machine.support_.shape != (n,):
        raise ValueError("a machine of unequal parts")
    if (
        machine._n_support.dtype != np.int32
        or machine._n_support.shape != (2,)
        or int(machine._n_support.sum()) != n
        or (machine._n_support < 0).any()
    ):
        raise ValueError("a machine of unequal parts")
    # libsvm looks rows up by number where a kernel is precomputed, and calls what a kernel of one's own is.
    if machine.kernel not in ("linear", "rbf", "poly", "sigmoid") or len(machine._probA) > 1 or len(machine._probB) > 1:
        raise ValueError("a machine of another kind")
    if not 0 <= int(machine.degree) <= _MOST_DEGREE or not np.isfinite([machine._gamma, machine.coef0]).all():
        raise ValueError("a kernel without sense")
