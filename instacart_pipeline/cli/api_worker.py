"""One process of the API: `python -m instacart_pipeline.cli.api_worker --fd N`, on a listening socket that it inherits.

Belongs here: making the application of the profile's resources, and running it. `instacart-pipeline serve` (serving.py) starts it; it ends
when its standard input does, so it doesn't outlive the process that started it, however that dies.
"""

import argparse
import logging
import socket
import threading

_KEEP_ALIVE_SECONDS = 75
_DRAIN_SECONDS = 5
_LOOK_SECONDS = {"local": 2.0, "aws": 15.0}
"""How often a new day and a new model version are looked for; on AWS each look is some calls."""


def main() -> None:
    """Serve until SIGTERM, or until standard input ends."""
    import uvicorn  # noqa: PLC0415  # the arguments are held first

    from instacart_pipeline.cli.children import end_with_parent  # noqa: PLC0415
    from instacart_pipeline.profiles import build_resources  # noqa: PLC0415
    from instacart_pipeline.serving.api import create_app  # noqa: PLC0415
    from instacart_pipeline.serving.reorder import part as reorder  # noqa: PLC0415
    from instacart_pipeline.serving.retail import part as retail  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    parser = argparse.ArgumentParser(description="One process of the API; `instacart-pipeline serve` starts it.")
    parser.add_argument("--fd", type=int, required=True, help="a listening socket")
    parser.add_argument("--access-log", action="store_true", help="log a line a request, without its headers")
    options = parser.parse_args()
    threading.Thread(target=end_with_parent, daemon=True).start()
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    settings = Settings.from_env()
    found = build_resources(settings)
    predictions = reorder.service_of(found.catalog, found.table_files, found.endpoints, settings.home)
    parts = (
        reorder.reorder_part(predictions, look_every=_LOOK_SECONDS[settings.profile]),
        retail.retail_part(retail.service_of(found.stream, found.lookup_tables)),
    )
    config = uvicorn.Config(
        create_app(parts, settings.api_keys),
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        log_level="warning" if not options.access_log else "info",
        access_log=options.access_log,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=options.fd)])


if __name__ == "__main__":
    main()
