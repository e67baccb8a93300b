"""Counting, and an exposition that prometheus-client reads back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from logbroker.base.metrics import FAILED_COLLECTORS, Metric, Registry


def read(registry):
    """Samples by (name, labels), as Prometheus would see them."""
    samples = {}
    for family in text_string_to_metric_families(registry.text()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples
            samples[key] = sample.value
    return samples


def test_counters_and_gauges():
    registry = Registry()
    counter = registry.counter("logbroker_things_total", "Things.")
    gauge = registry.gauge("logbroker_level", "A level.")
    family = registry.counters("logbroker_errors_total", "Errors by code.", ["api", "code"])
    counter.value += 2
    counter.value += 1
    gauge.value = -0.5
    family.labels("Produce", "NONE").value += 1
    assert family.labels("Produce", "NONE") is family.labels("Produce", "NONE")
    samples = read(registry)
    assert samples["logbroker_things_total", ()] == 3
    assert samples["logbroker_level", ()] == -0.5
    assert samples["logbroker_errors_total", (("api", "Produce"), ("code", "NONE"))] == 1
    kinds = {family.name: family.type for family in text_string_to_metric_families(registry.text())}
    assert kinds["logbroker_things"] == "counter"
    assert kinds["logbroker_level"] == "gauge"


@given(st.lists(st.integers(min_value=0, max_value=2**40), max_size=50))
def test_a_histogram_counts_what_is_at_most_its_bound(values):
    registry = Registry()
    histogram = registry.histogram("logbroker_took_seconds", "Time.", powers=(1, 30))
    for value in values:
        histogram.observe(value)
    samples = read(registry)
    bounds = [(labels, count) for (name, labels), count in samples.items() if name.endswith("_bucket")]
    assert len(bounds) == 31
    for labels, count in bounds:
        bound = float(dict(labels)["le"])
        assert count == sum(1 for value in values if value * 1e-6 <= bound * (1 + 1e-9))
    assert samples["logbroker_took_seconds_count", ()] == len(values) == histogram.count
    assert samples["logbroker_took_seconds_sum", ()] == pytest.approx(sum(values) * 1e-6, rel=1e-9)


def test_histograms_with_labels():
    registry = Registry()
    family = registry.histograms("logbroker_size_bytes", "Sizes.", ["api"], scale=1, powers=(10, 12))
    family.labels("Fetch").observe(2000)
    samples = read(registry)
    assert samples["logbroker_size_bytes_bucket", (("api", "Fetch"), ("le", "1024"))] == 0
    assert samples["logbroker_size_bytes_bucket", (("api", "Fetch"), ("le", "2048"))] == 1
    assert samples["logbroker_size_bytes_bucket", (("api", "Fetch"), ("le", "+Inf"))] == 1


def test_negative_values_do_no_harm():
    histogram = Registry().histogram("logbroker_took_seconds", "Time.")
    histogram.observe(-5)
    assert histogram.count == 1


@given(st.dictionaries(st.text(), st.floats() | st.integers(min_value=-(2**63), max_value=2**63), max_size=5))
def test_any_label_and_any_number_reads_back(values):
    registry = Registry()
    registry.register(
        lambda: [
            Metric(
                "g", "A \\ meaning\nin two lines.", "gauge", [((("topic", t),), v) for t, v in values.items()]
            )
        ]
    )
    samples = read(registry)
    for topic, value in values.items():
        found = samples["g", (("topic", topic),)]
        if math.isnan(value):
            assert math.isnan(found)
        else:
            assert found == pytest.approx(value, rel=1e-11)


def test_collectors_are_asked_at_every_scrape_and_may_leave():
    registry = Registry()
    asked = []

    def collect():
        asked.append(1)
        yield Metric("g", "Help.", "gauge", [((), len(asked))])

    registry.register(collect)
    assert read(registry)["g", ()] == 1
    assert read(registry)["g", ()] == 2
    registry.unregister(collect)
    assert ("g", ()) not in read(registry)


def test_a_collector_that_fails_takes_no_other_down():
    registry = Registry()
    counter = registry.counter("logbroker_things_total", "Things.")
    counter.value = 5

    def broken():
        yield Metric("before", "Help.", "gauge", [((), 1)])
        raise RuntimeError("broken")

    registry.register(broken)
    registry.register(lambda: [Metric("after", "Help.", "gauge", [((), 2)])])
    registry.register(lambda: [Metric("after", "A second one of that name.", "gauge", [((), 3)])])
    samples = read(registry)
    assert samples["logbroker_things_total", ()] == 5
    assert samples["before", ()] == 1
    assert samples["after", ()] == 2
    assert samples[FAILED_COLLECTORS, ()] == 2


def test_large_expositions_come_in_pieces():
    registry = Registry()
    labels = [(("partition", str(number)),) for number in range(5000)]
    registry.register(lambda: [Metric("g", "Help.", "gauge", ((one, 1) for one in labels))])
    pieces = list(registry.render())
    assert len(pieces) >= 10
    assert max(piece.count(b"\n") for piece in pieces) <= 510
    assert len(read(registry)) == 5001


def test_names_are_checked():
    registry = Registry()
    registry.counter("logbroker_a_total", "x")
    for bad in (
        lambda: registry.counter("logbroker_a_total", "x"),
        lambda: registry.counter("logbroker_b", "x"),
        lambda: registry.gauge("logbroker b", "x"),
        lambda: registry.counters("logbroker_c_total", "x", ["a-b"]),
        lambda: registry.counters("logbroker_d_total", "x", ["le"]),
        lambda: registry.histogram("logbroker_e", "x", powers=(0, 5)),
        lambda: registry.gauges("logbroker_f", "x", ["a"]).labels("1", "2"),
    ):
        with pytest.raises(ValueError):
            bad()
