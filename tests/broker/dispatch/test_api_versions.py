"""ApiVersions: what is told, in every version, and to whom."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.handlers import ADVERTISED, api_versions
from logbroker.wire import codec
from logbroker.wire.api import API, ApiKey
from logbroker.wire.messages.api_versions import ApiVersionsRequest


def answer(version, name="apache-kafka-java", software_version="4.3.1"):
    context = SimpleNamespace(api_version=version, connection=SimpleNamespace(client_software=""))
    response = api_versions.handle(None, context, ApiVersionsRequest(name, software_version))
    encoded = b"".join(codec.encode_response(ApiKey.API_VERSIONS, version, response))
    return codec.decode_response(ApiKey.API_VERSIONS, version, encoded), context.connection.client_software


@pytest.mark.parametrize("version", range(5))
def test_exactly_what_the_table_has_in_kafkas_ranges(version):
    response, _ = answer(version)
    assert response.error_code == 0
    told = {key.api_key: (key.min_version, key.max_version) for key in response.api_keys}
    assert set(told) == {int(key) for key in ADVERTISED}
    for key, (low, high) in told.items():
        assert (low, high) == (0 if key == ApiKey.PRODUCE else API[key].min_version, API[key].max_version)
    assert told[ApiKey.PRODUCE] == (0, 13)


@pytest.mark.parametrize("version", [3, 4])
def test_the_features_that_work_are_finalized(version):
    response, _ = answer(version)
    finalized = {feature.name: feature.max_version_level for feature in response.finalized_features}
    assert finalized["transaction.version"] == 2
    assert response.finalized_features_epoch == api_versions.FEATURES_EPOCH > 0
    assert response.zk_migration_ready is False
    supported = {(f.name, f.min_version, f.max_version) for f in response.supported_features}
    assert (("transaction.version", 0, 2) in supported) is (version == 4)


def test_features_with_a_lowest_level_of_0_are_told_from_version_4_on(monkeypatch):
    monkeypatch.setattr(api_versions, "FEATURES", (("group.version", 0, 1), ("other.version", 1, 2)))
    monkeypatch.setattr(api_versions, "FINALIZED_FEATURES", (("group.version", 1),))
    assert [feature.name for feature in answer(3)[0].supported_features] == ["other.version"]
    assert [feature.name for feature in answer(4)[0].supported_features] == ["group.version", "other.version"]
    (finalized,) = answer(4)[0].finalized_features
    assert (finalized.min_version_level, finalized.max_version_level) == (1, 1)


@pytest.mark.parametrize(
    ("name", "software_version", "valid"),
    [
        ("librdkafka", "2.16.1", True),
        ("a", "1", True),
        ("apache-kafka-java", "4.3.1-SNAPSHOT.2", True),
        ("", "1", False),
        ("a", "", False),
        ("-a", "1", False),
        ("a.", "1", False),
        ("a", "1-", False),
        ("a b", "1", False),
        ("a\n", "1", False),
        ("ä", "1", False),
        ("a_b", "1", False),
    ],
)
def test_names_and_versions_of_client_software(name, software_version, valid):
    response, kept = answer(3, name, software_version)
    if valid:
        assert response.error_code == 0
        assert kept == f"{name} {software_version}"
    else:
        assert response.error_code == ErrorCode.INVALID_REQUEST
        assert response.api_keys == []
        assert kept == ""
    assert answer(2, name, software_version)[0].error_code == 0, "older versions have no such field"


def test_what_is_kept_of_a_name_is_bounded():
    _, kept = answer(4, "a" * 30_000, "1" * 30_000)
    assert len(kept) <= 2 * api_versions.SOFTWARE_SHOWN_MAX + 1
