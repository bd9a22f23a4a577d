"""Whether the trees of a stranger's model lead from their root to leaves: a node that points elsewhere has no end."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

MOST_TREES = 100_000
_BOOSTERS = ("gbtree", "gblinear", "dart")


def check_tree(left: ArrayLike, right: ArrayLike, columns: ArrayLike, n_columns: int) -> None:
    """Raise ValueError unless every node is a leaf (both children −1) or has two later nodes as its children.

    `left`, `right`, `columns`: int[nodes], the children and the column that an inner node asks for.
    """
    left, right, columns = (np.asarray(values, np.int64) for values in (left, right, columns))
    nodes = np.arange(len(left))
    if not len(nodes) or right.shape != left.shape or columns.shape != left.shape:
        raise ValueError("a tree of unequal parts")
    leaf = (left == -1) & (right == -1)
    inner = (left > nodes) & (left < len(nodes)) & (right > nodes) & (right < len(nodes))
    if not (leaf | inner).all() or not ((columns >= 0) & (columns < n_columns))[~leaf].all():
        raise ValueError("a tree whose nodes lead nowhere")


def check_xgboost(model: Any, n_columns: int, n_classes: int) -> None:
    """Raise ValueError or KeyError unless the JSON of an XGBoost model has trees that end, and as many as it says."""
    learner = model["learner"]
    if int(learner["learner_model_param"]["num_feature"]) != n_columns:
        raise ValueError("another number of columns")
    if int(learner["learner_model_param"]["num_class"]) not in (n_classes, 0 if n_classes == 2 else n_classes):
        raise ValueError("another number of classes")
    groups = n_classes if int(learner["learner_model_param"]["num_class"]) else 1  # of two classes, one margin
    _check_margins(learner["learner_model_param"], groups)
    booster = learner["gradient_booster"]
    if booster["name"] not in _BOOSTERS:
        raise ValueError("a booster of another kind")
    if booster["name"] == "gblinear":
        if len(booster["model"]["weights"]) != (n_columns + 1) * groups:
            raise ValueError("weights of other columns")
        return
    forest = booster["gbtree"]["model"] if booster["name"] == "dart" else booster["model"]
    trees: Sequence[Mapping[str, Any]] = forest["trees"]
    if len(trees) > MOST_TREES or len(forest["tree_info"]) != len(trees):
        raise ValueError("another number of trees")
    if any(not 0 <= int(group) < groups for group in forest["tree_info"]):
        raise ValueError("trees of other classes")
    ends = [int(place) for place in forest["iteration_indptr"]]
    if ends[:1] != [0] or ends[-1] != len(trees) or sorted(ends) != ends:
        raise ValueError("rounds of other trees")
    if booster["name"] == "dart":
        _check_weights(booster["weight_drop"], len(trees))
    for tree in trees:
        _check_parts(tree, n_columns)


def _check_parts(tree: Mapping[str, Any], n_columns: int) -> None:
    """Raise ValueError or KeyError unless the parts of a tree are as long as each other, and its nodes have an end."""
    n_nodes = int(tree["tree_param"]["num_nodes"])
    if len(tree.get("split_type", tree["parents"])) != n_nodes:
        raise ValueError("a tree of unequal parts")
    if tree["tree_param"].get("size_leaf_vector", "1") not in ("0", "1"):
        raise ValueError("a tree of several answers")
    parts = ("right_children", "split_indices", "split_conditions", "default_left", "base_weights", "parents")
    if any(len(tree[part]) != n_nodes for part in ("left_children", *parts)):
        raise ValueError("a tree of unequal parts")
    if tree.get("categories") or tree.get("categories_nodes") or any(map(int, tree.get("split_type", ()))):
        raise ValueError("a tree of categories")
    check_tree(tree["left_children"], tree["right_children"], tree["split_indices"], n_columns)


def _check_margins(parameters: Mapping[str, Any], groups: int) -> None:
    """Raise ValueError unless there is one target, and a finite margin to begin with for all groups or for each."""
    if int(parameters.get("num_target", 1)) != 1:
        raise ValueError("another number of targets")
    given = json.loads(str(parameters["base_score"]))  # "5E-1", or since XGBoost 3.1 "[5E-1]"
    _check_weights(
        given if isinstance(given, list) else [given], groups if isinstance(given, list) and len(given) > 1 else 1
    )


def _check_weights(weights: Sequence[Any], n: int) -> None:
    """Raise ValueError unless these are so many finite numbers."""
    if len(weights) != n or not all(type(value) in (int, float) and math.isfinite(value) for value in weights):
        raise ValueError("weights of other trees")
