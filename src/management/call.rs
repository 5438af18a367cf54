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
use super::routes::is_monitor;

/// The name that stands for the default exchange in paths.
pub(super) const DEFAULT_EXCHANGE: &str = "amq.default";
/// The header by which a list of all vhosts becomes one of one vhost.
const VHOST_HEADER: &str = "x-vhost";

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

    /// The vhosts whose objects a list without a vhost in its path shows, by name.
    pub(super) fn vhosts(&self) -> Result<Vec<Arc<Vhost>>, Refusal> {
        let mut vhosts = self.visible_vhosts();
        if let Some(only) = self.header(VHOST_HEADER).filter(|name| !name.is_empty()) {
            if self.broker().vhost(only).is_none() {
                return Err(Refusal::not_found());
            }
            vhosts.retain(|vhost| **vhost.name() == *only);
        }
        Ok(vhosts)
    }

    /// The vhosts the user sees: all, or those with a permission.
    pub(super) fn visible_vhosts(&self) -> Vec<Arc<Vhost>> {
        let access = self.broker().access();
        let sees_all = is_monitor(&self.user);
        let mut vhosts = self.broker().vhosts();
        vhosts
            .retain(|vhost| sees_all || access.permission(vhost.name(), &self.user.name).is_some());
        vhosts
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
