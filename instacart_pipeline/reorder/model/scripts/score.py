"""Scores a matrix by the model beside it: `python score.py MODEL_FOLDER ROWS.npy SCORES.npy`.

Run from a model's own code folder, so that an old model is scored by the code it was made with.
"""

from __future__ import annotations

import sys

import numpy as np
from inference import model_fn, predict_fn

if __name__ == "__main__":
    model_folder, rows, scores = sys.argv[1:]
    np.save(scores, predict_fn(np.load(rows), model_fn(model_folder)))
