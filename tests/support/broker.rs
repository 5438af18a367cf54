//! The broker as a process: started on free ports over a folder, stopped by signal.
//!
//! Owns the child process and what it prints. The first line on its standard output is JSON and
//! names the addresses; everything else it says is kept for the report of a failed test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long the broker may take to name its addresses.
const START: Duration = Duration::from_secs(30);
/// How long it may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(15);

/// A running broker; stopped when dropped.
pub(crate) struct Broker {
    child: Child,
    amqp: SocketAddr,
    http: SocketAddr,
    log: Arc<Mutex<String>>,
    finished: Receiver<()>,
    _own_folder: Option<tempfile::TempDir>,
}

impl Broker {
    /// Starts the broker over a folder of its own.
    pub(crate) fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut broker = Self::start_in(folder.path(), &[])?;
        broker._own_folder = Some(folder);
        Ok(broker)
    }

    /// Starts the broker over `data_dir`, with more arguments to `serve`.
    pub(crate) fn start_in(data_dir: &Path, arguments: &[&str]) -> Result<Self, String> {
        let mut child = spawn(data_dir, arguments).map_err(|error| error.to_string())?;
        let log = Arc::new(Mutex::new(String::new()));
        let (said, finished) = listen(&mut child, &log);
        let addresses = said
            .recv_timeout(START)
            .map_err(|_| "no address line".to_owned());
        match addresses.and_then(|line| read_addresses(&line)) {
            Ok((amqp, http)) => Ok(Self {
                child,
                amqp,
                http,
                log,
                finished,
                _own_folder: None,
            }),
            Err(error) => {
                // It may have ended by itself, which is the error being reported.
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("the broker did not start: {error}\n{}", read(&log)))
            }
        }
    }

    /// Where it speaks AMQP.
    pub(crate) fn amqp(&self) -> SocketAddr {
        self.amqp
    }

    /// Where it serves the management API.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote so far.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    /// Ends it like a power cut does for a process: no signal it could act on.
    pub(crate) fn kill(mut self) -> Result<ExitStatus, String> {
        self.child.kill().map_err(|error| error.to_string())?;
        self.child.wait().map_err(|error| error.to_string())
    }

    /// Asks it to stop and waits.
    pub(crate) fn stop(mut self) -> Result<ExitStatus, String> {
        self.end()
    }

    fn end(&mut self) -> Result<ExitStatus, String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Ok(status);
        }
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or("no process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .map_err(|error| error.to_string())?;
        if self.finished.recv_timeout(STOP).is_err() {
            self.child.kill().map_err(|error| error.to_string())?;
        }
        self.child.wait().map_err(|error| error.to_string())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Nothing is left to tell it to; a test that cares calls `stop`.
        let _ = self.end();
    }
}

/// Starts the process with both outputs piped.
fn spawn(data_dir: &Path, arguments: &[&str]) -> std::io::Result<Child> {
    Command::new(env!("CARGO_BIN_EXE_leveret"))
        .args([
            "serve",
            "--amqp-bind",
            "127.0.0.1:0",
            "--http-bind",
            "127.0.0.1:0",
        ])
        .arg("--data-dir")
        .arg(data_dir)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Reads both outputs on threads of their own; `finished` hears when the process has closed them.
fn listen(child: &mut Child, log: &Arc<Mutex<String>>) -> (Receiver<String>, Receiver<()>) {
    let (say, said) = channel();
    let (finish, finished) = channel();
    if let Some(stdout) = child.stdout.take() {
        let log = Arc::clone(log);
        thread::spawn(move || {
            let mut lines = BufReader::new(stdout);
            let mut first = String::new();
            if lines.read_line(&mut first).is_ok_and(|count| count > 0) {
                // The starter stops listening after its first line.
                let _ = say.send(first);
            }
            copy(lines, &log);
            let _ = finish.send(());
        });
    }
    if let Some(stderr) = child.stderr.take() {
        let log = Arc::clone(log);
        thread::spawn(move || copy(BufReader::new(stderr), &log));
    }
    (said, finished)
}

fn copy(mut lines: impl BufRead, log: &Mutex<String>) {
    let mut line = Vec::new();
    while lines
        .read_until(b'\n', &mut line)
        .is_ok_and(|count| count > 0)
    {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
}

fn read(log: &Mutex<String>) -> String {
    log.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// `{"amqp": "127.0.0.1:…", "http": "127.0.0.1:…"}`
fn read_addresses(line: &str) -> Result<(SocketAddr, SocketAddr), String> {
    let json: serde_json::Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let address = |key: &str| {
        let text = json[key]
            .as_str()
            .ok_or_else(|| format!("no \"{key}\" in {line}"))?;
        text.parse::<SocketAddr>()
            .map_err(|error| format!("{text}: {error}"))
    };
    Ok((address("amqp")?, address("http")?))
}
