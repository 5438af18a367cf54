//! Listening sockets: accepts, and gives every connection a task.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker_core::amqp091::session::Peer;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::{info, warn};

use super::driver::{Driver, Shared};
use super::transport::Transport;

/// Connections the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;
/// Connections that have not logged in; more are dropped at once, so that slow handshakes cannot
/// fill memory.
pub(super) const HALF_OPEN_MAX: usize = 4096;
/// Pause after an accept that failed for want of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The AMQP listeners of the node.
#[derive(Debug)]
pub(crate) struct Listeners {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

/// Opens a listening socket; port 0 picks a free one. Must be called inside the runtime.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Listeners {
    /// Opens all listening sockets; the error names the one that failed.
    pub(crate) fn open(binds: &[SocketAddr]) -> Result<Listeners, (SocketAddr, io::Error)> {
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        for &address in binds {
            let opened = bind(address).and_then(|l| l.local_addr().map(|local| (l, local)));
            let (listener, local) = opened.map_err(|error| (address, error))?;
            listeners.push(listener);
            addresses.push(local);
        }
        Ok(Listeners {
            listeners,
            addresses,
        })
    }

    /// The addresses in use.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Accepts until `stop` changes.
    pub(crate) fn run(self, shared: &Arc<Shared>, stop: &watch::Receiver<bool>) {
        for listener in self.listeners {
            tokio::spawn(accept(listener, Arc::clone(shared), stop.clone()));
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        match accepted {
            Ok((stream, remote)) => start(stream, remote, &shared),
            Err(error) if is_peers_fault(&error) => {}
            Err(error) => {
                warn!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn start(stream: TcpStream, remote: SocketAddr, shared: &Arc<Shared>) {
    if shared.half_open.load(Ordering::Relaxed) >= HALF_OPEN_MAX {
        warn!(%remote, limit = HALF_OPEN_MAX, "dropped: too many connections are logging in");
        return;
    }
    let prepared = stream.set_nodelay(true).and_then(|()| stream.local_addr());
    match prepared {
        Ok(local) => {
            let driver = Driver::new(
                Transport::Tcp(stream),
                Peer { remote, local },
                Arc::clone(shared),
            );
            tokio::spawn(driver);
        }
        Err(error) => info!(%remote, %error, "connection was gone before it began"),
    }
}

/// The connection ended between the kernel's queue and accept.
fn is_peers_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
