//! A request that was let in, as the functions of the resources see it.

use std::sync::Arc;

use axum::http::HeaderMap;
use broker_core::access::{Resource, Right, User};
use broker_core::broker::Broker;
use broker_core::vhost::Vhost;
use bytes::Bytes;

use super::Api;
use super::body::Fields;
use super::path::{Names, Query};
use super::reply::Refusal;

/// The name that stands for the default exchange in paths.
pub(super) const DEFAULT_EXCHANGE: &str = "amq.default";

/// A request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) api: Arc<Api>,
    pub(super) user: Arc<User>,
    pub(super) names: Names,
    pub(super) query: Query,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    pub(super) fn broker(&self) -> &Broker {
        &self.api.broker
    }

    /// The segment at a placeholder of the route.
    pub(super) fn name(&self, placeholder: &str) -> &str {
        self.names.get(placeholder).unwrap_or_default()
    }

    /// The segment at a placeholder that names an exchange.
    pub(super) fn exchange_name(&self, placeholder: &str) -> &str {
        match self.name(placeholder) {
            DEFAULT_EXCHANGE => "",
            name => name,
        }
    }

    /// The vhost of the path, or 404.
    pub(super) fn vhost(&self) -> Result<Arc<Vhost>, Refusal> {
        let vhost = self.broker().vhost(self.name("vhost"));
        vhost.ok_or_else(Refusal::not_found)
    }

    /// The body as a JSON object.
    pub(super) fn fields(&self) -> Result<Fields, Refusal> {
        Fields::parse(&self.body)
    }

    /// 401 unless the user's permission in the vhost allows it.
    pub(super) fn check(
        &self,
        vhost: &Vhost,
        right: Right,
        resource: Resource<'_>,
    ) -> Result<(), Refusal> {
        let access = self.broker().access();
        Ok(access.check(&self.user, vhost.name(), right, resource)?)
    }

    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
