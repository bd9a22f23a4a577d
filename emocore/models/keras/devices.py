"""How TensorFlow is started: its native threads, its GPUs, its part in a training of many workers, its log."""

import contextlib
from typing import Any

import keras
import tensorflow as tf

from emocore.errors import UserError

_on_gpu: list[bool] = []  # of this process


def use_cpu(threads: int) -> None:
    """Let TensorFlow compute in so many threads and on no GPU, where this process was not told otherwise before."""
    if _on_gpu:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.set_visible_devices([], "GPU")  # the first process to see one takes all of its memory
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        pass  # TensorFlow has already started in this process, with the threads of the task before


def use_gpu(threads: int) -> None:
    """Let TensorFlow compute on the GPUs that this process may see, taking memory as it needs it."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        raise UserError("TensorFlow sees no GPU where Ray gave it one: install the extra gpu on that machine.")
    _on_gpu.append(True)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        pass  # as above


def start_distributed(threads: int, gpus_per_worker: int, precision: str) -> Any:
    """Start TensorFlow in a worker of a training; return the strategy that joins it to the others."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    gpus = tf.config.list_physical_devices("GPU") if gpus_per_worker else []
    tf.config.set_visible_devices(gpus, "GPU")  # Ray hides none from a worker that asked for none
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if precision == "auto":
        precision = "mixed_bfloat16" if gpus and _has_bfloat16(gpus[0]) else "float32"
    if precision == "float64":
        keras.config.set_floatx("float64")
    keras.config.set_dtype_policy(precision)
    if not gpus:
        tf.config.experimental.enable_op_determinism()
    how = tf.distribute.experimental.CommunicationImplementation
    options = tf.distribute.experimental.CommunicationOptions(implementation=how.NCCL if gpus else how.AUTO)
    return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)


def _has_bfloat16(gpu: Any) -> bool:
    """float16 would need a scaled loss, and steps that are skipped where it overflows."""
    capability: tuple[int, int] = tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
    return capability >= (8, 0)


def summary_writer(folder: str) -> Any:
    """Return what writes a log that TensorBoard reads; None where it cannot be written, which stops no training."""
    try:
        with tf.device("CPU"):
            return tf.summary.create_file_writer(folder)
    except tf.errors.OpError:
        return None


def summarize(writer: Any, figures: dict[str, Any]) -> None:
    """Write the figures of an epoch into a log."""
    # As tf.summary.scalar writes them, which asks for the tensorboard package that only their reader needs.
    kind = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"}, data_class="DATA_CLASS_SCALAR")
    # A log that cannot be written is no reason to stop.
    with contextlib.suppress(tf.errors.OpError), writer.as_default():
        for name, value in figures.items():
            if name != "epoch":
                tf.summary.write(name, tf.constant(value, tf.float32), step=figures["epoch"], metadata=kind)
        writer.flush()
