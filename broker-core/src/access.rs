//! Users, permissions, and the one place that says whether somebody may do something.
//!
//! Everything is denied unless a permission of the user in the vhost allows it. Patterns are
//! regular expressions, unanchored, matched in linear time; an empty pattern matches only the
//! empty name. Each change bumps a generation, so that what was decided before and remembered
//! (a route with its right) is decided again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use regex::{Regex, RegexBuilder};

use crate::error::BrokerError;

/// Compiled size of one permission pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 256 * 1024;

/// What a user may want to do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Create and delete.
    Configure,
    /// Publish to, bind to.
    Write,
    /// Consume from, bind from.
    Read,
}

/// What a right is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// An exchange; the default one (the empty name) is known as `amq.default` here.
    Exchange(&'a str),
    /// A queue.
    Queue(&'a str),
}

impl<'a> Resource<'a> {
    fn name(&self) -> &'a str {
        match self {
            Resource::Exchange("") => "amq.default",
            Resource::Exchange(name) | Resource::Queue(name) => name,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Resource::Exchange(_) => "exchange",
            Resource::Queue(_) => "queue",
        }
    }
}

/// How a password hash was made: always hash(salt ‖ password), the salt being the first 4 bytes
/// (RabbitMQ's formats).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// `rabbit_password_hashing_sha256`, the default.
    Sha256,
    /// `rabbit_password_hashing_sha512`.
    Sha512,
    /// `rabbit_password_hashing_md5`, only for imported users.
    Md5,
}

impl HashAlgorithm {
    /// RabbitMQ's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            HashAlgorithm::Sha256 => "rabbit_password_hashing_sha256",
            HashAlgorithm::Sha512 => "rabbit_password_hashing_sha512",
            HashAlgorithm::Md5 => "rabbit_password_hashing_md5",
        }
    }

    /// The algorithm of that name.
    pub fn parse(name: &str) -> Option<HashAlgorithm> {
        [
            HashAlgorithm::Sha256,
            HashAlgorithm::Sha512,
            HashAlgorithm::Md5,
        ]
        .into_iter()
        .find(|algorithm| algorithm.as_str() == name)
    }
}

/// A user. Not printable by accident: the hash stays out of `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub name: Arc<str>,
    /// Salt and hash; empty for a user who cannot log in with a password.
    pub password_hash: Vec<u8>,
    /// How it was made.
    pub algorithm: HashAlgorithm,
    /// administrator, monitoring, policymaker, management, impersonator, or any other word.
    pub tags: Vec<String>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("tags", &self.tags)
            .finish()
    }
}

impl User {
    /// Whether the user has this tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }

    /// Whether the user may set another's name as user-id.
    pub fn is_impersonator(&self) -> bool {
        self.has_tag("impersonator")
    }
}

/// A pattern of names, as written and compiled.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles a pattern; the error says what is wrong with it.
    pub fn new(text: &str) -> Result<Pattern, String> {
        let effective = if text.is_empty() { "^$" } else { text };
        let regex = RegexBuilder::new(effective)
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Pattern {
            text: text.to_owned(),
            regex,
        })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }
}

/// What one user may do in one vhost.
#[derive(Clone, Debug)]
pub struct Permission {
    /// Names that may be created and deleted.
    pub configure: Pattern,
    /// Names that may be written to.
    pub write: Pattern,
    /// Names that may be read from.
    pub read: Pattern,
}

impl Permission {
    /// Compiles the three patterns; the error names the one that is wrong.
    pub fn new(configure: &str, write: &str, read: &str) -> Result<Permission, String> {
        let compile = |what: &str, text: &str| {
            Pattern::new(text).map_err(|error| format!("{what} pattern '{text}': {error}"))
        };
        Ok(Permission {
            configure: compile("configure", configure)?,
            write: compile("write", write)?,
            read: compile("read", read)?,
        })
    }

    fn allows(&self, right: Right, name: &str) -> bool {
        match right {
            Right::Configure => self.configure.matches(name),
            Right::Write => self.write.matches(name),
            Right::Read => self.read.matches(name),
        }
    }
}

#[derive(Debug, Default)]
struct Tables {
    users: BTreeMap<Arc<str>, Arc<User>>,
    /// By vhost and user.
    permissions: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<Permission>>>,
}

/// All users and permissions of the broker.
#[derive(Debug, Default)]
pub struct Access {
    tables: RwLock<Tables>,
    generation: AtomicU64,
}

impl Access {
    /// Changes with every change of a user or permission.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Refuses what the user's permission in the vhost does not allow, in RabbitMQ's words.
    pub fn check(
        &self,
        user: &User,
        vhost: &str,
        right: Right,
        resource: Resource<'_>,
    ) -> Result<(), BrokerError> {
        let name = resource.name();
        let permission = self.permission(vhost, &user.name);
        if permission.is_some_and(|permission| permission.allows(right, name)) {
            return Ok(());
        }
        Err(BrokerError::access_refused(format!(
            "access to {} '{name}' in vhost '{vhost}' refused for user '{}'",
            resource.kind(),
            user.name
        )))
    }

    /// The user's permission in a vhost; without one the vhost cannot be opened.
    pub fn permission(&self, vhost: &str, user: &str) -> Option<Arc<Permission>> {
        self.tables
            .read()
            .permissions
            .get(vhost)?
            .get(user)
            .cloned()
    }

    /// A user by name.
    pub fn user(&self, name: &str) -> Option<Arc<User>> {
        self.tables.read().users.get(name).cloned()
    }

    /// All users, by name.
    pub fn users(&self) -> Vec<Arc<User>> {
        self.tables.read().users.values().cloned().collect()
    }

    /// All permissions: vhost, user, permission.
    pub fn permissions(&self) -> Vec<(Arc<str>, Arc<str>, Arc<Permission>)> {
        let tables = self.tables.read();
        let all = tables.permissions.iter().flat_map(|(vhost, users)| {
            let of_vhost = users.iter();
            of_vhost.map(|(user, p)| (Arc::clone(vhost), Arc::clone(user), Arc::clone(p)))
        });
        all.collect()
    }

    /// Adds or replaces a user. True if it is new.
    pub(crate) fn put_user(&self, user: User) -> bool {
        self.change(|tables| {
            tables
                .users
                .insert(Arc::clone(&user.name), Arc::new(user))
                .is_none()
        })
    }

    /// Removes a user and its permissions; gives the vhosts it had some in.
    pub(crate) fn remove_user(&self, name: &str) -> Option<Vec<Arc<str>>> {
        self.change(|tables| {
            tables.users.remove(name)?;
            let mut vhosts = Vec::new();
            for (vhost, users) in &mut tables.permissions {
                if users.remove(name).is_some() {
                    vhosts.push(Arc::clone(vhost));
                }
            }
            Some(vhosts)
        })
    }

    /// Adds or replaces a permission. True if it is new.
    pub(crate) fn put_permission(&self, vhost: &str, user: &str, permission: Permission) -> bool {
        self.change(|tables| {
            let users = tables.permissions.entry(vhost.into()).or_default();
            users.insert(user.into(), Arc::new(permission)).is_none()
        })
    }

    /// Removes a permission. True if there was one.
    pub(crate) fn remove_permission(&self, vhost: &str, user: &str) -> bool {
        self.change(|tables| {
            let users = tables.permissions.get_mut(vhost);
            users.is_some_and(|users| users.remove(user).is_some())
        })
    }

    /// Removes all permissions in a vhost; gives the users that had one.
    pub(crate) fn remove_vhost(&self, vhost: &str) -> Vec<Arc<str>> {
        self.change(|tables| {
            let users = tables.permissions.remove(vhost).unwrap_or_default();
            users.into_keys().collect()
        })
    }

    fn change<T>(&self, act: impl FnOnce(&mut Tables) -> T) -> T {
        let outcome = act(&mut self.tables.write());
        self.generation.fetch_add(1, Ordering::AcqRel);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> User {
        User {
            name: name.into(),
            password_hash: Vec::new(),
            algorithm: HashAlgorithm::Sha256,
            tags: vec!["management".into()],
        }
    }

    #[track_caller]
    fn permission(configure: &str, write: &str, read: &str) -> Permission {
        Permission::new(configure, write, read).expect("valid patterns")
    }

    #[test]
    fn nothing_is_allowed_without_a_permission() {
        let access = Access::default();
        let error = access.check(&user("u"), "/", Right::Read, Resource::Queue("q"));
        assert_eq!(
            error.map_err(|e| e.to_string()),
            Err("ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'u'".into())
        );
    }

    #[test]
    fn patterns_are_unanchored_and_the_empty_one_matches_only_the_empty_name() {
        let access = Access::default();
        access.put_permission("/", "u", permission("", "^amq\\.default$", "ord"));
        let allowed = |right, resource| access.check(&user("u"), "/", right, resource).is_ok();
        assert!(allowed(Right::Read, Resource::Queue("my-orders")));
        assert!(!allowed(Right::Configure, Resource::Queue("my-orders")));
        assert!(allowed(Right::Configure, Resource::Queue("")));
        assert!(allowed(Right::Write, Resource::Exchange("")));
        assert!(!allowed(Right::Write, Resource::Exchange("amq.default.x")));
    }

    #[test]
    fn a_pattern_that_does_not_compile_is_named() {
        let error = Permission::new(".*", "(", ".*").map(|_| ());
        assert!(error.is_err_and(|error| error.starts_with("write pattern '('")));
    }

    #[test]
    fn a_removed_user_takes_its_permissions_along() {
        let access = Access::default();
        access.put_user(user("u"));
        for vhost in ["a", "b"] {
            access.put_permission(vhost, "u", permission(".*", ".*", ".*"));
        }
        let before = access.generation();
        assert_eq!(access.remove_user("u").map(|vhosts| vhosts.len()), Some(2));
        assert!(access.permission("a", "u").is_none());
        assert!(access.generation() > before);
        assert_eq!(access.remove_user("u"), None);
    }
}
