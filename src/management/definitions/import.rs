//! Carries out what a definitions file says.

use std::fmt;

use broker_core::broker::Broker;
use broker_core::error::BrokerError;
use broker_core::host::Lsn;
use broker_core::time::Timestamp;
use broker_core::vhost::Vhost;

use super::ImportError;
use super::read::{InVhost, Plan};

/// How much of what was imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Imported {
    users: usize,
    vhosts: usize,
    permissions: usize,
    exchanges: usize,
    queues: usize,
    bindings: usize,
    /// All of it survives a crash once the log is durable to here.
    pub(crate) lsn: Lsn,
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} users, {} vhosts, {} permissions, {} exchanges, {} queues, {} bindings",
            self.users, self.vhosts, self.permissions, self.exchanges, self.queues, self.bindings
        )
    }
}

impl Plan {
    /// In the order in which one needs the other.
    pub(super) fn carry_out(
        &self,
        broker: &Broker,
        now: Timestamp,
    ) -> Result<Imported, ImportError> {
        let mut last = Lsn::NONE;
        for user in &self.users {
            let put = broker.put_user(user.clone());
            let (_, lsn) = put.map_err(|error| failed(format!("user '{}'", user.name), error))?;
            last = last.max(lsn);
        }
        for vhost in &self.vhosts {
            let spec = vhost.over(broker.vhost(&vhost.name).map(|there| there.spec()));
            let put = broker.put_vhost(spec);
            let (_, lsn) = put.map_err(|error| failed(format!("vhost '{}'", vhost.name), error))?;
            last = last.max(lsn);
        }
        last = last.max(self.put_permissions(broker)?);
        last = last.max(self.declare_exchanges(broker)?);
        last = last.max(self.declare_queues(broker, now)?);
        last = last.max(self.bind(broker)?);
        Ok(Imported {
            users: self.users.len(),
            vhosts: self.vhosts.len(),
            permissions: self.permissions.len(),
            exchanges: self.exchanges.len(),
            queues: self.queues.len(),
            bindings: self.bindings.len(),
            lsn: last,
        })
    }

    fn put_permissions(&self, broker: &Broker) -> Result<Lsn, ImportError> {
        each(broker, &self.permissions, |_, item, what| {
            let (user, permission) = &item.spec;
            if broker.access().user(user).is_none() {
                return Err(ImportError::Object {
                    what,
                    why: format!("there is no user '{user}'"),
                });
            }
            let put = broker.put_permission(&item.vhost, user, permission.clone());
            put.map(|(_, lsn)| lsn).map_err(|error| failed(what, error))
        })
    }

    fn declare_exchanges(&self, broker: &Broker) -> Result<Lsn, ImportError> {
        each(broker, &self.exchanges, |vhost, item, what| {
            if vhost.topology().exchange(&item.spec.name).is_some() {
                return Ok(Lsn::NONE);
            }
            let declared = vhost.declare_exchange(item.spec.clone());
            declared.map_err(|error| failed(what, error))
        })
    }

    fn declare_queues(&self, broker: &Broker, now: Timestamp) -> Result<Lsn, ImportError> {
        each(broker, &self.queues, |vhost, item, what| {
            if vhost.queue(&item.spec.name).is_some() {
                return Ok(Lsn::NONE);
            }
            let declared = vhost.declare_queue_as(item.spec.clone(), None, true, now);
            declared
                .map(|(_, lsn)| lsn)
                .map_err(|error| failed(what, error))
        })
    }

    fn bind(&self, broker: &Broker) -> Result<Lsn, ImportError> {
        each(broker, &self.bindings, |vhost, item, what| {
            vhost
                .bind(item.spec.clone())
                .map_err(|error| failed(what, error))
        })
    }
}

/// Does something for each item in its vhost; gives the last LSN.
fn each<T>(
    broker: &Broker,
    items: &[InVhost<T>],
    act: impl Fn(&Vhost, &InVhost<T>, String) -> Result<Lsn, ImportError>,
) -> Result<Lsn, ImportError> {
    let mut last = Lsn::NONE;
    for item in items {
        let what = format!("{} in vhost '{}'", item.what, item.vhost);
        let Some(vhost) = broker.vhost(&item.vhost) else {
            return Err(ImportError::Object {
                what,
                why: format!("there is no vhost '{}'", item.vhost),
            });
        };
        last = last.max(act(&vhost, item, what)?);
    }
    Ok(last)
}

fn failed(what: String, error: BrokerError) -> ImportError {
    ImportError::Object {
        what,
        why: error.text,
    }
}
