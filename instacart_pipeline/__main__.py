"""`python -m instacart_pipeline` is `instacart-pipeline`."""

from instacart_pipeline.cli import main

main()
