//! The management API.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use broker_core::broker::Broker;
use broker_core::time::Timestamp;

use crate::clock::Clock;

/// What the API says of the node.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) node_name: String,
    pub(crate) cluster_name: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) amqp: Vec<SocketAddr>,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) max_body_bytes: u64,
}

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) broker: Arc<Broker>,
    pub(crate) clock: Clock,
    pub(crate) facts: Facts,
}

impl Api {
    pub(crate) fn new(broker: Arc<Broker>, clock: Clock, facts: Facts) -> Arc<Api> {
        Arc::new(Api { broker, clock, facts })
    }
}

/// All routes.
pub(crate) fn router(_api: Arc<Api>) -> Router {
    Router::new()
}

/// Why a definitions file was not imported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error("{0}")]
    Read(std::io::Error),
}

pub(crate) fn import_definitions(
    _broker: &Broker,
    _text: &[u8],
    _now: Timestamp,
) -> Result<String, ImportError> {
    Ok(String::new())
}
