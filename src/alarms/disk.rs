//! How much room the disk of the data directory has, and how much it must have.

use std::path::Path;

use super::memory;

/// Bytes that the data directory's disk has left for this process.
pub(crate) fn free(dir: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The limit to use: a share (in thousandths) of the machine's memory if one is configured, else
/// bytes.
pub(crate) fn limit(absolute: u64, share: Option<u64>) -> u64 {
    let relative = share.and_then(|share| Some(memory::share_of(memory::available()?, share)));
    relative.unwrap_or(absolute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_memory_wins_over_bytes() {
        let all = memory::available().expect("/proc is mounted");
        assert_eq!(limit(7, None), 7);
        assert_eq!(limit(7, Some(1500)), memory::share_of(all, 1500));
    }

    #[test]
    fn there_is_room_where_tests_run_and_none_where_nothing_is() {
        assert!(free(Path::new(".")).is_some_and(|bytes| bytes > 0));
        assert_eq!(free(Path::new("/no/such/place")), None);
    }
}
