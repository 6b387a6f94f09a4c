"""One worker of a consumer: `python -m instacart_pipeline.cli.stream_worker --consumer NAME`.

Belongs here: making the consumer of the profile's resources, running it, its metrics. `instacart-pipeline stream work` (stream_working.py) starts
it; it ends when its standard input does, so it doesn't outlive the process that started it, however that dies.
"""

import argparse
import gc
import logging
import signal
import threading
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from instacart_pipeline.retail.consumers.event_source_mapping import Delivered, EventSourceMapping

_POLL_SECONDS = {"local": 0.1, "aws": 1.0}
"""How often a shard that had nothing is looked at again; Kinesis bears five looks a second of all consumers together."""
_GARBAGE = 200_000
"""Objects made between two searches for circular garbage. A batch makes tens of thousands that are no garbage, and none that is circular."""


def main() -> None:
    """Work until SIGTERM or SIGINT, or until standard input ends; or until nothing is left."""
    from instacart_pipeline.cli.children import end_with_parent  # noqa: PLC0415  # the arguments are held first
    from instacart_pipeline.profiles import build_resources  # noqa: PLC0415
    from instacart_pipeline.retail.consumers import event_source_mapping as mappings  # noqa: PLC0415
    from instacart_pipeline.retail.consumers.registry import NAMES, consumers  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    parser = argparse.ArgumentParser(
        description="One worker of a consumer; `instacart-pipeline stream work` starts it."
    )
    parser.add_argument("--consumer", choices=NAMES, required=True)
    parser.add_argument("--share", type=int, nargs=2, default=(0, 1), help="which of how many that start together")
    parser.add_argument("--until-empty", action="store_true", help="end when nothing is left")
    parser.add_argument("--metrics-port", type=int, default=0, help="serve metrics to this machine at this port")
    options = parser.parse_args()
    stopping = _stopped_by_signals()
    threading.Thread(target=end_with_parent, daemon=True).start()
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    settings = Settings.from_env()
    found = build_resources(settings)
    consumer = consumers(found.storage, found.lookup_tables, settings.stream_buffer_seconds)[options.consumer]
    place, workers = options.share
    mapping = mappings.EventSourceMapping(
        found.stream, consumer, _POLL_SECONDS[settings.profile], share=(place, workers)
    )
    if options.metrics_port:
        mapping = _measured(mapping, options.metrics_port)
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    mapping.run(stopping, until_empty=options.until_empty)


def _measured(mapping: "EventSourceMapping", port: int) -> "EventSourceMapping":
    """The mapping, telling Prometheus at a port of this machine what it does."""
    from prometheus_client import Counter, Histogram, start_http_server  # noqa: PLC0415  # only where it is asked for

    name = mapping.consumer.name
    records = Counter("stream_records", "Records dealt with.", ["consumer", "shard"])
    failures = Counter(
        "stream_failed_batches", "Batches that come again, as a whole or in part.", ["consumer", "shard"]
    )
    letters = Counter("stream_dead_letters", "Records that became dead letters.", ["consumer"]).labels(name)
    seconds = Histogram("stream_batch_seconds", "Seconds a batch.", ["consumer"]).labels(name)

    def tell(delivered: "Delivered") -> None:
        records.labels(name, delivered.shard).inc(delivered.done)
        seconds.observe(delivered.seconds)
        if delivered.done < delivered.records:
            failures.labels(name, delivered.shard).inc()

    start_http_server(port, addr="127.0.0.1")
    return replace(mapping, consumer=replace(mapping.consumer, on_dead_letters=letters.inc), on_batch=tell)


def _stopped_by_signals() -> threading.Event:
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return stopping


if __name__ == "__main__":
    main()
