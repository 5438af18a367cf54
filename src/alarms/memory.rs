//! How much memory the process holds, and how much it may.

use std::fs;

/// Share of the memory there is that is allowed without a configured limit, in thousandths
/// (RabbitMQ's default since 4.0).
const DEFAULT_SHARE: u64 = 600;

/// The watermark to use: bytes as configured, or a share (in thousandths) of the memory this
/// process may have.
pub(crate) fn watermark(absolute: Option<u64>, share: Option<u64>) -> Option<u64> {
    let share = share.unwrap_or(DEFAULT_SHARE);
    absolute.or_else(|| available().map(|bytes| share_of(bytes, share)))
}

/// So many thousandths.
pub(super) fn share_of(bytes: u64, thousandths: u64) -> u64 {
    (u128::from(bytes) * u128::from(thousandths) / 1000).min(u128::from(u64::MAX)) as u64
}

/// Bytes of memory the process holds now.
pub(crate) fn resident() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// The machine's memory, or the control group's limit if that is less.
pub(super) fn available() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = group
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(u64::MAX);
    Some(limit.min(kib * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_watermark_wins() {
        assert_eq!(watermark(Some(7), Some(900)), Some(7));
    }

    #[test]
    fn a_share_is_of_what_there_is() {
        let all = available().expect("/proc is mounted");
        assert_eq!(watermark(None, Some(1000)), Some(all));
        assert_eq!(watermark(None, Some(1)), Some(all / 1000));
    }

    #[test]
    fn the_default_is_below_what_there_is_and_above_what_a_test_needs() {
        let used = resident().expect("/proc is mounted");
        let default = watermark(None, None).expect("/proc is mounted");
        assert!(used < default, "{used} of {default}");
    }
}
