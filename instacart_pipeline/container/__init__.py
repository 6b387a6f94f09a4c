"""SageMaker's container on this machine: what runs a model's scripts and what answers with a model, by the same contract.

Belongs here: the script-mode contract of training and processing, and the serving contract of endpoints and batch transform. Knows neither
Dagster nor AWS nor the lake: a model folder goes in, HTTP or files come out.
"""
