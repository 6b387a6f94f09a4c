"""Saves a booster as an MLflow model: `python mlflow_save.py BOOSTER FOLDER`, by the Python of an environment that has MLflow."""

from __future__ import annotations

import sys
from importlib import import_module

import xgboost

booster = xgboost.Booster()
booster.load_model(sys.argv[1])
# By name: MLflow's environment is its own, and nothing else here has it.
import_module("mlflow.xgboost").save_model(booster, sys.argv[2], model_format="ubj")
