"""The native threads of TensorFlow, and whether it sees a GPU."""

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
