"""What the disk under a folder does: how long a sync takes, and how much has been written.

Owns the measuring of the device itself; never looks at a broker.
"""

import contextlib
import os
import statistics
import time

BLOCK_BYTES = 4096
# What the kernel counts in, whatever the device's own sectors are.
SECTOR_BYTES = 512
SECTORS_WRITTEN_FIELD = 6
SYNCS = 300
SYNCS_TIMEOUT_S = 3.0
MICROS_PER_S = 1e6


def sync_times_us(folder, count=SYNCS):
    """How long overwriting one block and fdatasync took, each of `count` times, in a file of its own
    on the file system of `folder`. A slow disk is left after a few seconds."""
    path = os.path.join(folder, "sync-probe")
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.pwrite(file, bytes(BLOCK_BYTES), 0)
        os.fsync(file)
        deadline = time.monotonic() + SYNCS_TIMEOUT_S
        times = []
        while len(times) < count and (not times or time.monotonic() < deadline):
            block = bytes([len(times) % 256]) * BLOCK_BYTES
            begin = time.perf_counter_ns()
            os.pwrite(file, block, 0)
            os.fdatasync(file)
            times.append((time.perf_counter_ns() - begin) / 1000)
        return times
    finally:
        os.close(file)
        os.remove(path)


def sync_summary(times):
    """Median and 99th percentile of sync times, in microseconds."""
    ordered = sorted(times)
    return {
        "samples": len(ordered),
        "p50": statistics.median(ordered),
        "p99": ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)],
    }


def per_second(workers, sync_us):
    """What `workers` would reach if each of them did nothing but wait for syncs."""
    return workers * MICROS_PER_S / sync_us


def folder_bytes(folder):
    """What the files in a folder occupy; none without a folder."""
    if folder is None:
        return None
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            # Files may go while they are counted.
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(path, name)).st_blocks * SECTOR_BYTES
    return total


def written_bytes(folder):
    """Bytes that the block device under `folder` was given to write since it exists, by whomever;
    None without such a device. What the page cache holds is written first."""
    device = block_device(folder)
    if device is None:
        return None
    os.sync()
    with open(f"/sys/dev/block/{device}/stat", encoding="utf-8") as file:
        return sectors_written(file.read()) * SECTOR_BYTES


def sectors_written(stat):
    """The count in the text of a block device's stat file."""
    return int(stat.split()[SECTORS_WRITTEN_FIELD])


def block_device(folder):
    """`major:minor` of the device under `folder`. Some file systems have numbers of their own, and
    the device is the one they were mounted from."""
    number = os.stat(folder).st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    if os.path.exists(f"/sys/dev/block/{device}/stat"):
        return device
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        source = mount_source(file.read(), device)
    if source is None or not os.path.exists(source):
        return None
    number = os.stat(source).st_rdev
    device = f"{os.major(number)}:{os.minor(number)}"
    return device if os.path.exists(f"/sys/dev/block/{device}/stat") else None


def mount_source(mountinfo, device):
    """What the file system with this number was mounted from, in the text of mountinfo."""
    for line in mountinfo.splitlines():
        mount, _, file_system = line.partition(" - ")
        if mount.split()[2] == device:
            source = file_system.split()[1]
            return source if source.startswith("/") else None
    return None
