//! What the system says about processes and threads: CPU time and memory, from /proc.
//! Owns the parsing of those files and this process's own limits; never controls another process.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

use super::error::PerfError;

/// The broker's process, watched from outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pid: u32,
}

/// CPU time used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CpuTime {
    pub(super) user: Duration,
    pub(super) system: Duration,
}

impl CpuTime {
    pub(super) fn total(&self) -> Duration {
        self.user + self.system
    }

    /// What was used since `earlier`.
    pub(super) fn since(&self, earlier: &CpuTime) -> CpuTime {
        CpuTime {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

impl Process {
    /// Watches `pid`, which must exist.
    pub(super) fn new(pid: u32) -> Result<Self, PerfError> {
        let process = Process { pid };
        process.cpu_time()?;
        process.rss_kib()?;
        Ok(process)
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// User and system time of all its threads, in steps of the system's clock tick.
    pub(super) fn cpu_time(&self) -> Result<CpuTime, PerfError> {
        let stat = self.read("stat")?;
        cpu_time_of(&stat, rustix::param::clock_ticks_per_second())
            .ok_or_else(|| self.unreadable("stat"))
    }

    /// Resident memory in KiB.
    pub(super) fn rss_kib(&self) -> Result<u64, PerfError> {
        let status = self.read("status")?;
        kib_of(&status, "VmRSS:").ok_or_else(|| self.unreadable("status"))
    }

    /// Bytes its writes have sent towards the disk; none where the system does not tell.
    pub(super) fn written_bytes(&self) -> Option<u64> {
        let io = self.read("io").ok()?;
        line_of(&io, "write_bytes:")?.parse().ok()
    }

    fn read(&self, file: &'static str) -> Result<String, PerfError> {
        fs::read_to_string(format!("/proc/{}/{file}", self.pid)).map_err(|source| {
            PerfError::Process {
                pid: self.pid,
                file,
                source,
            }
        })
    }

    fn unreadable(&self, file: &'static str) -> PerfError {
        let source = io::Error::from(io::ErrorKind::InvalidData);
        PerfError::Process {
            pid: self.pid,
            file,
            source,
        }
    }
}

/// CPU time of the calling thread in nanoseconds; zero where the kernel does not tell.
pub(super) fn thread_cpu_nanos() -> u64 {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    schedstat
        .split(' ')
        .next()
        .and_then(|nanos| nanos.parse().ok())
        .unwrap_or(0)
}

/// Lets timed waits of this thread, and of those it starts, end on time instead of up to 50 µs
/// late. Where the kernel refuses, waits are only less exact.
pub(super) fn wait_precisely() {
    let Ok(thread) = fs::read_link("/proc/thread-self") else {
        return;
    };
    if let Some(id) = thread.file_name().and_then(|id| id.to_str()) {
        let _ = fs::write(format!("/proc/{id}/timerslack_ns"), "1");
    }
}

/// Raises this process's limit of open files as far as it may go; returns the limit in force.
pub(super) fn raise_open_files() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn cpu_time_of(stat: &str, ticks_per_second: u64) -> Option<CpuTime> {
    // The name in parentheses may hold blanks and parentheses itself.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(STAT_FIELDS_BEFORE_UTIME);
    let mut next = || -> Option<Duration> {
        let ticks: u64 = fields.next()?.parse().ok()?;
        Some(Duration::from_nanos(
            ticks * (1_000_000_000 / ticks_per_second),
        ))
    };
    Some(CpuTime {
        user: next()?,
        system: next()?,
    })
}

fn kib_of(status: &str, key: &str) -> Option<u64> {
    line_of(status, key)?.strip_suffix(" kB")?.parse().ok()
}

/// What stands behind `key`.
fn line_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .map(str::trim)
}

/// Fields 3 to 13 of proc(5) stat, behind the name.
const STAT_FIELDS_BEFORE_UTIME: usize = 11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_found_behind_any_name() {
        let stat = "42 (odd) name) S 1 42 42 0 -1 4194560 9 8 7 6 123 45 3 2 20 0 4 0 99 1 1";
        let time = cpu_time_of(stat, 100).expect("complete");
        assert_eq!(time.user, Duration::from_millis(1230));
        assert_eq!(time.system, Duration::from_millis(450));
        assert_eq!(time.total(), Duration::from_millis(1680));
    }

    #[test]
    fn memory_is_read_with_its_unit() {
        let status = "Name:\tx\nVmHWM:\t  999 kB\nVmRSS:\t   12345 kB\nThreads:\t3\n";
        assert_eq!(kib_of(status, "VmRSS:"), Some(12345));
        assert_eq!(kib_of(status, "VmSwap:"), None);
    }

    #[test]
    fn written_bytes_are_not_those_that_were_taken_back() {
        let io = "wchar: 9\nwrite_bytes: 4096\ncancelled_write_bytes: 512\n";
        assert_eq!(line_of(io, "write_bytes:"), Some("4096"));
        assert_eq!(line_of(io, "bytes:"), None);
    }

    #[test]
    fn this_very_process_can_be_watched() {
        let own = Process::new(std::process::id()).expect("it runs");
        assert!(own.rss_kib().expect("readable") > 0);
        assert!(thread_cpu_nanos() > 0);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(matches!(
            Process::new(u32::MAX),
            Err(PerfError::Process { .. })
        ));
    }
}
