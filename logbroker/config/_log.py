"""Settings of the storage engine: directories, segments, retention, durability, the journal, memory topics.

Most `log.*` settings here are the defaults of topic configs (`topic.py` says which of which), as in Kafka.
No `from __future__ import annotations` here: the declarations are read from the evaluated annotations.
"""

from typing import Annotated

from logbroker.config._server import ServerSection
from logbroker.config.setting import OURS, Bool, Double, Int, List, Long, Text
from logbroker.config.values import LONG_MAX, Value


def _directories_problem(value: Value) -> str | None:
    if not isinstance(value, tuple) or not value:
        return "at least one directory is needed"
    return None


def _retention_problem(value: Value) -> str | None:
    return "Value must be -1 (keep for ever) or at least 1" if value == 0 else None


def _gzip_problem(value: Value) -> str | None:
    if isinstance(value, int) and (value == -1 or 1 <= value <= 9):
        return None
    return "Value must be between 1 and 9 or equal to -1"


class LogSection(ServerSection, frozen=True, kw_only=True):
    """Directories, segments, retention, durability, the journal, memory topics."""

    # ---- directories

    log_dirs: Annotated[
        tuple[str, ...],
        List(
            "Directories that hold partitions; a new partition goes to the one with the fewest. Each has its own "
            "journal, so give each its own disk. A directory that fails goes offline and the others go on.",
            kafka=None,
            aliases=("log.dir",),
            check=_directories_problem,
        ),
    ] = ("data",)
    metadata_log_dir: Annotated[
        str | None,
        Text(
            "The directory that holds the metadata: topics, their ids and configs, producer ids. Without it the broker "
            "doesn't start. Unset: the first of log.dirs.",
        ),
    ] = None
    log_open_files: Annotated[
        int,
        Int(
            "Segment and index files kept open at once; the least recently used are closed first. Files that hold "
            "bytes not yet on the disk stay open whatever it says.",
            low=16,
            kafka=OURS,
        ),
    ] = 4096
    log_disk_reserve_bytes: Annotated[
        int,
        Long(
            "Free space kept back from producers in each directory, so that recovery and metadata always have room. "
            "When less is free, produce requests get KAFKA_STORAGE_ERROR.",
            unit="bytes",
            low=0,
            dynamic=True,
            kafka=OURS,
        ),
    ] = 268_435_456

    # ---- segments and indexes (defaults of topic configs)

    log_segment_bytes: Annotated[
        int,
        Int(
            "The size at which a segment is full and a new one begins.",
            unit="bytes",
            low=1_048_576,
            dynamic=True,
        ),
    ] = 1_073_741_824
    log_roll_ms: Annotated[
        int | None,
        Long(
            "The age of its first record at which a segment is closed though it isn't full. Goes before "
            "log.roll.hours.",
            unit="ms",
            low=1,
            dynamic=True,
        ),
    ] = None
    log_roll_hours: Annotated[int, Int("As log.roll.ms, in hours.", unit="hours", low=1)] = 168
    log_roll_jitter_ms: Annotated[
        int | None,
        Long(
            "Up to so much, drawn at random, is taken off the age, so that segments don't all roll at once. Goes "
            "before log.roll.jitter.hours.",
            unit="ms",
            low=0,
            dynamic=True,
        ),
    ] = None
    log_roll_jitter_hours: Annotated[int, Int("As log.roll.jitter.ms, in hours.", unit="hours", low=0)] = 0
    log_index_interval_bytes: Annotated[
        int,
        Int(
            "Bytes of records between two entries of a segment's indexes.", unit="bytes", low=0, dynamic=True
        ),
    ] = 4096
    log_index_size_max_bytes: Annotated[
        int,
        Int(
            "The size at which an index is full, which ends its segment too.",
            unit="bytes",
            low=4,
            dynamic=True,
        ),
    ] = 10_485_760
    log_preallocate: Annotated[
        bool,
        Bool("Allocate a new segment's file at its full size at once.", dynamic=True),
    ] = False
    log_segment_delete_delay_ms: Annotated[
        int,
        Long(
            "How long a deleted segment's files stay, renamed `.deleted`, so that reads under way can end.",
            unit="ms",
            low=0,
            dynamic=True,
        ),
    ] = 60_000

    # ---- retention (defaults of topic configs)

    log_cleanup_policy: Annotated[
        tuple[str, ...],
        List(
            "What becomes of old segments: delete (by time and size), compact (keep the last record of each key), or "
            "both. Empty: keep everything.",
            choices=("compact", "delete"),
            dynamic=True,
        ),
    ] = ("delete",)
    log_retention_ms: Annotated[
        int | None,
        Long(
            "How long records are kept; -1 is for ever. Goes before log.retention.minutes and log.retention.hours.",
            unit="ms",
            low=-1,
            dynamic=True,
            check=_retention_problem,
        ),
    ] = None
    log_retention_minutes: Annotated[
        int | None,
        Int(
            "As log.retention.ms, in minutes. Goes before log.retention.hours.",
            unit="minutes",
            low=-1,
            check=_retention_problem,
        ),
    ] = None
    log_retention_hours: Annotated[
        int,
        Int("As log.retention.ms, in hours.", unit="hours", low=-1, check=_retention_problem),
    ] = 168
    log_retention_bytes: Annotated[
        int,
        Long(
            "The size one partition may grow to before its oldest segments go; negative: any.",
            unit="bytes",
            dynamic=True,
        ),
    ] = -1
    log_retention_check_interval_ms: Annotated[
        int,
        Long("How often retention looks for segments to delete.", unit="ms", low=1),
    ] = 300_000

    # ---- compaction (the cleaner; then defaults of topic configs)

    log_cleaner_enable: Annotated[
        bool,
        Bool("Whether topics with cleanup.policy=compact are compacted, the internal ones among them."),
    ] = True
    log_cleaner_threads: Annotated[
        int,
        Int(
            "How many logs are compacted at a time; each in a process of its own, so that the broker's own work goes on.",
            low=0,
            dynamic=True,
        ),
    ] = 1
    log_cleaner_dedupe_buffer_size: Annotated[
        int,
        Long(
            "Memory for the keys of a pass, all cleaner threads together: 24 bytes a key. What doesn't fit is compacted "
            "by the next pass.",
            unit="bytes",
            low=1_048_576,
            dynamic=True,
        ),
    ] = 134_217_728
    log_cleaner_io_buffer_load_factor: Annotated[
        float,
        Double(
            "How full that memory may get. More keys fit, and finding each takes longer.",
            low=0,
            high=1,
            dynamic=True,
        ),
    ] = 0.9
    log_cleaner_io_buffer_size: Annotated[
        int,
        Int(
            "What the cleaner reads at a time, all cleaner threads together; a larger batch is read whole.",
            unit="bytes",
            low=0,
            dynamic=True,
        ),
    ] = 524_288
    log_cleaner_io_max_bytes_per_second: Annotated[
        float,
        Double(
            "How much the cleaner may read and write together, all its threads together.",
            unit="bytes/s",
            low=1,
            high=1.7976931348623157e308,
            dynamic=True,
        ),
    ] = 1.7976931348623157e308
    log_cleaner_backoff_ms: Annotated[
        int,
        Long("How long the cleaner rests when there is nothing to compact.", unit="ms", low=0, dynamic=True),
    ] = 15_000

    log_cleaner_delete_retention_ms: Annotated[
        int,
        Long("How long a compacted topic keeps the marker of a deleted key.", unit="ms", low=0, dynamic=True),
    ] = 86_400_000
    log_cleaner_min_cleanable_ratio: Annotated[
        float,
        Double(
            "The share of a log that must be uncompacted before it is compacted.", low=0, high=1, dynamic=True
        ),
    ] = 0.5
    log_cleaner_min_compaction_lag_ms: Annotated[
        int,
        Long("How long a record stays uncompacted at least.", unit="ms", low=0, dynamic=True),
    ] = 0
    log_cleaner_max_compaction_lag_ms: Annotated[
        int,
        Long("How long a record stays uncompacted at most.", unit="ms", low=1, dynamic=True),
    ] = LONG_MAX

    # ---- records (defaults of topic configs)

    message_max_bytes: Annotated[
        int,
        Int(
            "The largest record batch, as it is stored (compressed). Must fit in socket.request.max.bytes.",
            unit="bytes",
            low=0,
            dynamic=True,
        ),
    ] = 1_048_588
    compression_type: Annotated[
        str,
        Text(
            "The codec batches are stored in. producer keeps whatever the producer chose, which costs nothing; any "
            "other recompresses what comes in another codec.",
            choices=("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
            dynamic=True,
        ),
    ] = "producer"
    compression_gzip_level: Annotated[
        int,
        Int("The gzip level where the broker compresses: 1 to 9, or -1.", dynamic=True, check=_gzip_problem),
    ] = -1
    compression_lz4_level: Annotated[
        int,
        Int("The lz4 level where the broker compresses.", low=1, high=17, dynamic=True),
    ] = 9
    compression_zstd_level: Annotated[
        int,
        Int("The zstd level where the broker compresses.", low=-131_072, high=22, dynamic=True),
    ] = 3
    log_message_timestamp_type: Annotated[
        str,
        Text(
            "Whose time a record carries: the producer's (CreateTime) or the broker's (LogAppendTime).",
            choices=("CreateTime", "LogAppendTime"),
            dynamic=True,
        ),
    ] = "CreateTime"
    log_message_timestamp_before_max_ms: Annotated[
        int,
        Long("How far before now a producer's timestamp may lie.", unit="ms", low=0, dynamic=True),
    ] = LONG_MAX
    log_message_timestamp_after_max_ms: Annotated[
        int,
        Long("How far after now a producer's timestamp may lie.", unit="ms", low=0, dynamic=True),
    ] = 3_600_000
    record_validation: Annotated[
        str,
        Text(
            "How much of a batch is checked before it is appended: header (everything the header can prove, CRC "
            "included) or full (every record is walked too).",
            choices=("header", "full"),
            dynamic=True,
            kafka=OURS,
        ),
    ] = "header"

    # ---- durability

    log_flush_interval_messages: Annotated[
        int,
        Long(
            "1, the default: a produce is acknowledged only when it is on the disk. More: it is acknowledged from the "
            "page cache and synced after so many records or after log.flush.interval.ms, and a power cut takes what "
            "wasn't synced. Kafka's default is never to sync.",
            unit="messages",
            low=1,
            dynamic=True,
            kafka=LONG_MAX,
        ),
    ] = 1
    log_flush_interval_ms: Annotated[
        int | None,
        Long(
            "The longest a record may stay unsynced where log.flush.interval.messages is above 1. Unset: no such "
            "limit.",
            unit="ms",
            low=0,
            dynamic=True,
        ),
    ] = None
    log_journal_files: Annotated[
        int,
        Int("Files in the journal's ring, one ring per log directory.", low=2, high=1024, kafka=OURS),
    ] = 6
    log_journal_file_bytes: Annotated[
        int,
        Int(
            "The size of each of the ring's files. Files times size bounds what a restart has to replay, and is "
            "allocated once. A batch larger than a quarter of a file goes past the journal.",
            unit="bytes",
            low=65_536,
            high=1_073_741_824,
            kafka=OURS,
        ),
    ] = 16_777_216
    log_journal_group_max_bytes: Annotated[
        int,
        Int(
            "The most that one commit writes; what waits beyond it goes into the next. At most half of "
            "log.journal.file.bytes.",
            unit="bytes",
            low=16_384,
            kafka=OURS,
        ),
    ] = 4_194_304
    log_direct_sync_bytes: Annotated[
        int,
        Int(
            "Where so much waits for one partition, its segment is synced directly instead of being written twice.",
            unit="bytes",
            low=4096,
            kafka=OURS,
        ),
    ] = 262_144
    log_writeback_bytes: Annotated[
        int,
        Long(
            "Appended bytes that may wait in memory, in the journal alone, before they are written to their segments; a quarter "
            "of them where few partitions share them, so that the writes are large all the same.",
            unit="bytes",
            low=65_536,
            kafka=OURS,
        ),
    ] = 33_554_432
    log_checkpoint_interval_ms: Annotated[
        int,
        Long(
            "The longest time between two checkpoints, which sync segments, publish recovery points and free the ring; "
            "much written brings one sooner.",
            unit="ms",
            low=100,
            kafka=OURS,
        ),
    ] = 30_000
    log_scrub_interval_ms: Annotated[
        int,
        Long(
            "The time within which every closed segment is read again and its CRCs are checked; 0 turns it off.",
            unit="ms",
            low=0,
            dynamic=True,
            kafka=OURS,
        ),
    ] = 1_209_600_000
    log_scrub_max_bytes_per_second: Annotated[
        int,
        Long(
            "How fast that reading may be, per log directory.",
            unit="bytes/s",
            low=4096,
            dynamic=True,
            kafka=OURS,
        ),
    ] = 20_971_520

    # ---- memory topics (defaults of topic configs)

    storage_type: Annotated[
        str,
        Text(
            "Where topics live: log (on the disk) or memory (nowhere else: a restart empties the topic, and its "
            "offsets go on above all that were ever given out). A compacted topic lives on the disk all the same.",
            choices=("log", "memory"),
            dynamic=True,
            kafka=OURS,
        ),
    ] = "log"
    memory_max_bytes: Annotated[
        int,
        Long(
            "What one partition of a memory topic may hold.",
            unit="bytes",
            low=1_048_576,
            dynamic=True,
            kafka=OURS,
        ),
    ] = 268_435_456
    memory_full_policy: Annotated[
        str,
        Text(
            "What a full memory partition does: reject (the producer gets KAFKA_STORAGE_ERROR) or evict (its oldest "
            "segments go).",
            choices=("reject", "evict"),
            dynamic=True,
            kafka=OURS,
        ),
    ] = "reject"
