"""Images to start from: one broker, two log directories."""

from __future__ import annotations

from uuid import UUID

import pytest

from logbroker.config.settings import Settings
from logbroker.metadata.events import DirectoryRegistered, apply
from logbroker.metadata.image import ClusterImage, make_image

FIRST_DIRECTORY = UUID(int=0xD1)
SECOND_DIRECTORY = UUID(int=0xD2)


@pytest.fixture
def directories() -> list[UUID]:
    return [FIRST_DIRECTORY, SECOND_DIRECTORY]


@pytest.fixture
def image(directories: list[UUID]) -> ClusterImage:
    fresh = make_image("AAAAAAAAAAAAAAAAAAAAAA", Settings())
    return apply(
        fresh, [DirectoryRegistered(directory, f"/disk{n}") for n, directory in enumerate(directories)]
    )
