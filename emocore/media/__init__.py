"""Sound and pictures of media files."""

import cv2

# A task has the CPUs that Ray gave it, and Ray runs as many tasks as there are CPUs.
cv2.setNumThreads(1)
