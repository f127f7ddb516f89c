"""What all tests share: TensorFlow as a notebook's set-up cell makes it."""

from __future__ import annotations

import os

# TensorFlow reads them when it is imported, which any test may be the first to do.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
