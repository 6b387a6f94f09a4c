"""One process of the API: `python -m instacart_pipeline.cli.api_worker --fd N`, on a listening socket that it inherits.

Belongs here: making the application of the profile's resources, and running it. `instacart-pipeline serve` (serving.py) starts it; it ends
when its standard input does, so it doesn't outlive the process that started it, however that dies.
"""

from __future__ import annotations

import argparse
import logging
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from instacart_pipeline.serving import metrics

if TYPE_CHECKING:
    from instacart_pipeline.serving.part import Part
    from instacart_pipeline.settings import Settings

_KEEP_ALIVE_SECONDS = 75
_DRAIN_SECONDS = 5
_LOOK_SECONDS = {"local": 2.0, "aws": 15.0}
"""How often new days and a new model version are looked for; on AWS each look is some calls."""
_LAG_SECONDS = {"local": 1.0, "aws": 60.0}
"""How often it is looked how far the stream's consumers are behind; on AWS that reads every shard, which allows five reads a second."""


def main() -> None:
    """Serve until SIGTERM, or until standard input ends."""
    from instacart_pipeline.cli.children import end_with_parent  # noqa: PLC0415  # the arguments are held first

    parser = argparse.ArgumentParser(description="One process of the API; `instacart-pipeline serve` starts it.")
    parser.add_argument("--fd", type=int, required=True, help="a listening socket")
    parser.add_argument("--host", default="127.0.0.1", help="the name that the socket listens by")
    parser.add_argument("--metrics", type=Path, required=True, help="a folder that all processes of the API share")
    parser.add_argument("--access-log", action="store_true", help="log a line a request, without its headers")
    options = parser.parse_args()
    threading.Thread(target=end_with_parent, daemon=True).start()
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    metrics.share(options.metrics)
    _serve(options.fd, options.metrics, options.host, access_log=options.access_log)


def _serve(fd: int, folder: Path, host: str, *, access_log: bool) -> None:
    import uvicorn  # noqa: PLC0415  # as above

    from instacart_pipeline.container.connections import BoundedConnection  # noqa: PLC0415
    from instacart_pipeline.serving.api import create_app  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    settings, numbers = Settings.from_env(), metrics.Metrics(folder)
    config = uvicorn.Config(
        create_app(_parts(settings, numbers), settings.api_keys, numbers, host=host),
        loop="uvloop",
        http=BoundedConnection,
        ws="none",
        log_config=None,
        log_level="info" if access_log else "warning",
        access_log=access_log,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=fd)])


def _parts(settings: Settings, numbers: metrics.Metrics) -> Sequence[Part]:
    from instacart_pipeline.profiles import build_resources  # noqa: PLC0415  # as above
    from instacart_pipeline.retail.consumers.registry import NAMES  # noqa: PLC0415
    from instacart_pipeline.retail.days import LineDays  # noqa: PLC0415
    from instacart_pipeline.serving.customers import mart  # noqa: PLC0415
    from instacart_pipeline.serving.reorder import part as reorder  # noqa: PLC0415
    from instacart_pipeline.serving.retail import sales  # noqa: PLC0415
    from instacart_pipeline.serving.retail.part import retail_part  # noqa: PLC0415
    from instacart_pipeline.serving.retail.service import service_of  # noqa: PLC0415

    found, often = build_resources(settings), _LOOK_SECONDS[settings.profile]
    predictions = reorder.service_of(found.catalog, found.table_files, found.endpoints, settings.home)
    transactions = service_of(
        found.stream,
        found.lookup_tables,
        NAMES if settings.lag_is_known else (),
        numbers,
        days=LineDays(settings.retail_first_day, settings.zone),
        most_behind=settings.stream_backlog,
    )
    return (
        reorder.reorder_part(predictions, look_every=often),
        retail_part(transactions, look_every=_LAG_SECONDS[settings.profile]),
        sales.sales_part(sales.sales_days(found.catalog, found.table_files), look_every=often),
        mart.customers_part(mart.mart_weeks(found.catalog, found.table_files), look_every=often),
    )


if __name__ == "__main__":
    main()
