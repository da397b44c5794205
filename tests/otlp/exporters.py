"""Sends log records and spans by the exporters of OpenTelemetry's Python SDK, over HTTP and over gRPC.

For each signal and protocol BATCHES batches of ten go out, in turns. A batch is exported again until its exporter says
that it arrived; then a line says so: `acknowledged spans grpc 3`. Exits with 1 when a batch does not arrive in time, with 77
when the SDK is not installed.
"""

import argparse
import logging
import sys
import time

try:
    import grpc
    import opentelemetry.exporter.otlp.proto.grpc._log_exporter as grpc_logs
    import opentelemetry.exporter.otlp.proto.grpc.trace_exporter as grpc_spans
    import opentelemetry.exporter.otlp.proto.http._log_exporter as http_logs
    import opentelemetry.exporter.otlp.proto.http.trace_exporter as http_spans
    from opentelemetry import trace
    from opentelemetry._logs import LogRecord, SeverityNumber
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(77)

BATCH = 10
DEADLINE_S = 60
ATTEMPT_S = 5


def made_spans(resource, protocol, batch):
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("shop.tests", "1.0")
    kinds = list(trace.SpanKind)
    for index in range(BATCH):
        number = batch * BATCH + index
        attributes = {"n": number, "protocol": protocol, "correlation_id": f"c-{number}", "kind": "mine"}
        with tracer.start_as_current_span(
            f"span {protocol} {number}", kind=kinds[index % len(kinds)], attributes=attributes
        ) as span:
            span.add_event("paid", {"amount": 9.5, "items": ["a", "b"]})
            if index == 3:
                span.record_exception(ValueError("declined"))
                span.set_status(trace.Status(trace.StatusCode.ERROR, "declined"))
    return memory.get_finished_spans()


def made_logs(resource, protocol, batch):
    memory = InMemoryLogRecordExporter()
    provider = LoggerProvider(resource=resource)
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    logger = provider.get_logger("shop.tests", "1.0")
    for index in range(BATCH):
        number = batch * BATCH + index
        record = LogRecord(
            timestamp=time.time_ns(),
            severity_number=SeverityNumber.WARN,
            severity_text="WARN",
            body=f"log {protocol} {number}",
            attributes={"n": number, "protocol": protocol, "correlation_id": f"c-{number}"},
        )
        logger.emit(record)
    return memory.get_finished_logs()


def exporters(arguments):
    """By signal and protocol; half of them pack what they send."""
    headers = {"authorization": f"Bearer {arguments.token}"} if arguments.token else {}
    over_http = {"headers": headers, "timeout": ATTEMPT_S, "certificate_file": arguments.ca}
    over_grpc = {"headers": tuple(headers.items()), "timeout": ATTEMPT_S, "endpoint": arguments.grpc}
    if arguments.ca:
        with open(arguments.ca, "rb") as ca:
            over_grpc["credentials"] = grpc.ssl_channel_credentials(ca.read())
    else:
        over_grpc["insecure"] = True
    return {
        ("logs", "http"): http_logs.OTLPLogExporter(
            endpoint=f"{arguments.http}/v1/logs", compression=Compression.Gzip, **over_http
        ),
        ("spans", "http"): http_spans.OTLPSpanExporter(endpoint=f"{arguments.http}/v1/traces", **over_http),
        ("logs", "grpc"): grpc_logs.OTLPLogExporter(**over_grpc),
        ("spans", "grpc"): grpc_spans.OTLPSpanExporter(compression=grpc.Compression.Gzip, **over_grpc),
    }


def export(exporter, batch, again):
    deadline = time.monotonic() + DEADLINE_S
    while True:
        if exporter.export(batch).name == "SUCCESS":
            return True
        if not again or time.monotonic() > deadline:
            return False
        time.sleep(0.1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--http", required=True)
    parser.add_argument("--grpc", required=True)
    parser.add_argument("--batches", type=int, required=True)
    parser.add_argument("--token")
    parser.add_argument("--ca")
    parser.add_argument("--once", action="store_true", help="give up where an exporter does")
    arguments = parser.parse_args()
    # What the exporters complain about while the server is down is expected.
    logging.disable(logging.WARNING if arguments.once else logging.CRITICAL)
    resource = Resource.create({"service.name": "python-shop", "host.name": "n1"})
    making = {"logs": made_logs, "spans": made_spans}
    all_exporters = exporters(arguments)
    for batch in range(arguments.batches):
        for (signal, protocol), exporter in all_exporters.items():
            made = making[signal](resource, protocol, batch)
            if not export(exporter, made, not arguments.once):
                print(f"failed {signal} {protocol} {batch}", flush=True)
                sys.exit(1)
            print(f"acknowledged {signal} {protocol} {batch}", flush=True)
    for exporter in all_exporters.values():
        exporter.shutdown()


main()
