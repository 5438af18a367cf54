//! The node's name: who this broker is in the API, the metrics and on disk.
//!
//! Owns the rule for `NAME@HOST` and the host's own name; never resolves names over the network.

/// The name before the host where the operator gives none.
const DEFAULT_NAME: &str = "leveret";

/// The whole name for what an operator wrote: `auto`, `NAME`, or `NAME@HOST`.
pub(super) fn name(text: &str) -> Result<String, String> {
    let (name, host) = match text {
        super::value::AUTO => (DEFAULT_NAME, host()),
        text => match text.split_once('@') {
            Some((name, host)) => (name, host.to_owned()),
            None => (text, host()),
        },
    };
    if !is_word(name) || !is_word(&host) || name.len() + host.len() >= 255 {
        return Err("must be NAME@HOST of letters, digits, '.', '-' and '_'".to_owned());
    }
    Ok(format!("{name}@{host}"))
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// The host's short name, as RabbitMQ uses it by default.
fn host() -> String {
    let known = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok());
    let short = known
        .as_deref()
        .and_then(|name| name.trim().split('.').next());
    short
        .filter(|name| is_word(name))
        .unwrap_or("localhost")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_host_gets_this_host() {
        assert_eq!(name("auto"), Ok(format!("leveret@{}", host())));
        assert_eq!(name("hare"), Ok(format!("hare@{}", host())));
        assert_eq!(
            name("hare@burrow.example"),
            Ok("hare@burrow.example".to_owned())
        );
    }

    #[test]
    fn a_name_that_could_not_be_a_label_is_refused() {
        for text in ["", "@host", "hare@", "a b@host", "hare@ho/st", "a@b@c"] {
            assert!(name(text).is_err(), "{text}");
        }
        assert!(name(&format!("{}@host", "h".repeat(255))).is_err());
    }
}
