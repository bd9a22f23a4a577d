"""The native threads of TensorFlow."""

import tensorflow as tf


def use_cpu(threads: int) -> None:
    """Let TensorFlow compute in so many threads and on no GPU, where it has not begun to in this process."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.set_visible_devices([], "GPU")  # the first process to see one takes all of its memory
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        pass  # TensorFlow has already started in this process, with the threads of the task before
