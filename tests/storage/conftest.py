"""What tests of the storage engine share."""

import pytest


@pytest.fixture
def indexes_written_at_once(monkeypatch):
    """Every checkpoint writes the index entries of active segments too, however few they are."""
    monkeypatch.setattr("logbroker.storage.segment.INDEX_WRITE_ENTRIES", 1)
