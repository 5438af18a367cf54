//! The broker as a process: started on free ports over a folder, stopped by signal.
//!
//! Owns the child process and what it prints. The first line on its standard output is JSON and
//! names the addresses; everything else it says is kept for the report of a failed test.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long the broker may take to name its addresses.
const START: Duration = Duration::from_secs(30);
/// How long it may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(15);

/// A running broker; stopped when dropped.
pub(crate) struct Broker {
    child: Child,
    line: String,
    amqp: SocketAddr,
    http: Option<SocketAddr>,
    said: Arc<Said>,
    finished: Receiver<()>,
    _own_folder: Option<tempfile::TempDir>,
}

/// What a broker wrote besides its first line.
#[derive(Default)]
struct Said {
    stdout: Mutex<String>,
    stderr: Mutex<String>,
}

/// How a broker ended that was not to start.
pub(crate) struct Refusal {
    /// Its exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it wrote on standard error.
    pub(crate) stderr: String,
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
        let mut command = serve_on_free_ports(data_dir);
        command.args(arguments);
        Self::run(command)
    }

    /// Runs a command that is expected to name its addresses.
    pub(crate) fn run(mut command: Command) -> Result<Self, String> {
        let mut child = spawn(&mut command)?;
        let said = Arc::new(Said::default());
        let (first, finished) = listen(&mut child, &said);
        let line = first
            .recv_timeout(START)
            .map_err(|_| "no address line".to_owned());
        match line.and_then(|line| read_addresses(&line).map(|addresses| (line, addresses))) {
            Ok((line, (amqp, http))) => Ok(Self {
                child,
                line,
                amqp,
                http,
                said,
                finished,
                _own_folder: None,
            }),
            Err(error) => {
                // It may have ended by itself, which is the error being reported.
                let _ = child.kill();
                let _ = child.wait();
                let _ = finished.recv_timeout(STOP);
                let log = read(&said.stderr);
                Err(format!("the broker did not start: {error}\n{log}"))
            }
        }
    }

    /// Runs a command that is expected to end by itself.
    pub(crate) fn refuse(mut command: Command) -> Result<Refusal, String> {
        let mut child = spawn(&mut command)?;
        let said = Arc::new(Said::default());
        let (_first, finished) = listen(&mut child, &said);
        if finished.recv_timeout(START) == Err(RecvTimeoutError::Timeout) {
            child.kill().map_err(|error| error.to_string())?;
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        Ok(Refusal {
            code: status.code(),
            stderr: read(&said.stderr),
        })
    }

    /// Where it speaks AMQP.
    pub(crate) fn amqp(&self) -> SocketAddr {
        self.amqp
    }

    /// Where it serves the management API, which no test asks for that has turned it off.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http.expect("the management API is on")
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first line on its standard output.
    pub(crate) fn line(&self) -> &str {
        &self.line
    }

    /// What followed that line.
    pub(crate) fn more_lines(&self) -> String {
        read(&self.said.stdout)
    }

    /// What it logged up to this text and behind it, as far as that came in time: the log comes
    /// another way than the address line and answers.
    pub(crate) fn log_with(&self, wanted: &str) -> String {
        let deadline = Instant::now() + START;
        while !self.log().contains(wanted) && Instant::now() < deadline {
            thread::park_timeout(Duration::from_millis(10));
        }
        self.log()
    }

    /// What it logged until it was ready, and perhaps more.
    pub(crate) fn start_log(&self) -> String {
        self.log_with("ready amqp=")
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        read(&self.said.stderr)
    }

    /// Ends it like a power cut does for a process: no signal it could act on.
    pub(crate) fn kill(mut self) -> Result<ExitStatus, String> {
        self.child.kill().map_err(|error| error.to_string())?;
        self.child.wait().map_err(|error| error.to_string())
    }

    /// Asks it to stop and waits.
    pub(crate) fn stop(mut self) -> Result<ExitStatus, String> {
        self.end(Signal::TERM)
    }

    /// Sends a signal and does not wait.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.ok_or("no process id")?, signal).map_err(|error| error.to_string())
    }

    /// Sends a signal and waits for the end; the log is whole afterwards.
    pub(crate) fn end(&mut self, signal: Signal) -> Result<ExitStatus, String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Ok(status);
        }
        self.signal(signal)?;
        self.wait()
    }

    /// Waits for the end of a broker that was told to stop; one that does not is killed.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus, String> {
        if self.finished.recv_timeout(STOP) == Err(RecvTimeoutError::Timeout) {
            self.child.kill().map_err(|error| error.to_string())?;
        }
        self.child.wait().map_err(|error| error.to_string())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Nothing is left to tell it to; a test that cares calls `stop`.
        let _ = self.end(Signal::TERM);
    }
}

/// The program under test: `LEVERET` names another build of it.
pub(crate) fn program() -> OsString {
    env::var_os("LEVERET").unwrap_or_else(|| env!("CARGO_BIN_EXE_leveret").into())
}

/// `leveret serve` without arguments; nothing in this process's environment configures it.
pub(crate) fn serve() -> Command {
    let mut command = Command::new(program());
    command.arg("serve");
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("LEVERET_") {
            command.env_remove(name);
        }
    }
    command
}

/// `leveret serve` over `data_dir`, on ports that are free.
pub(crate) fn serve_on_free_ports(data_dir: &Path) -> Command {
    let mut command = serve();
    command
        .args(["--amqp-bind", "127.0.0.1:0", "--http-bind", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(data_dir);
    command
}

fn spawn(command: &mut Command) -> Result<Child, String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())
}

/// Reads both outputs on threads of their own. `finished` is disconnected when the process has
/// closed both.
fn listen(child: &mut Child, said: &Arc<Said>) -> (Receiver<String>, Receiver<()>) {
    let (say, first) = channel();
    let (open, finished) = channel::<()>();
    if let Some(stdout) = child.stdout.take() {
        let (said, open) = (Arc::clone(said), open.clone());
        thread::spawn(move || {
            let mut lines = BufReader::new(stdout);
            let mut line = String::new();
            if lines.read_line(&mut line).is_ok_and(|count| count > 0) {
                // The starter stops listening after its first line.
                let _ = say.send(line);
            }
            copy(lines, &said.stdout, open);
        });
    }
    if let Some(stderr) = child.stderr.take() {
        let said = Arc::clone(said);
        thread::spawn(move || copy(BufReader::new(stderr), &said.stderr, open));
    }
    (first, finished)
}

fn copy(mut lines: impl BufRead, log: &Mutex<String>, _open: Sender<()>) {
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

/// `{"amqp": "127.0.0.1:…", "http": "127.0.0.1:…"}`; `http` is null when the API is off.
fn read_addresses(line: &str) -> Result<(SocketAddr, Option<SocketAddr>), String> {
    let json: serde_json::Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let address = |key: &str| {
        json[key]
            .as_str()
            .map(|text| {
                text.parse::<SocketAddr>()
                    .map_err(|error| format!("{text}: {error}"))
            })
            .transpose()
    };
    let amqp = address("amqp")?.ok_or_else(|| format!("no \"amqp\" in {line}"))?;
    Ok((amqp, address("http")?))
}
