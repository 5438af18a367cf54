//! The sample file, made from the table: every option, commented out, at its default.

use super::options::{Applies, ConfigOption, OPTIONS};

/// Text lines are broken before this column.
const WIDTH: usize = 96;

/// A file that changes nothing until a line is uncommented.
pub fn sample() -> String {
    let mut out = String::from(
        "## Leveret's options, each at its default. Uncomment a line to change it.\n\
         ## A flag comes before a variable, a variable before this file.\n\
         ## Sizes take a unit: k, M, G are decimal, KiB, MiB, GiB binary.\n",
    );
    for option in OPTIONS {
        out.push('\n');
        for line in wrap(option.doc).into_iter().chain(wrap(&facts(option))) {
            out.push_str(&format!("## {line}\n"));
        }
        out.push_str(&format!(
            "# {} = {}\n",
            sample_key(option),
            sample_value(option)
        ));
    }
    out
}

/// What the option takes and where else it can be given.
fn facts(option: &ConfigOption) -> String {
    let mut facts = format!("Takes {}", option.field.expects());
    if let Some(flag) = option.flag {
        facts.push_str(&format!("; flag --{flag}"));
    }
    if let Some(env) = option.env {
        facts.push_str(&format!("; variable {env}"));
    }
    facts.push_str(match option.applies {
        Applies::AtStart => "; counts from the next start.",
        Applies::AtFirstStart => "; counts when a data directory is made.",
    });
    facts
}

/// A list's line as rabbitmq.conf has it.
fn sample_key(option: &ConfigOption) -> String {
    match option.list_base() {
        Some(base) if is_set(option) => format!("{base}.{}", option.default),
        Some(base) => format!("{base}.default"),
        None => option.key.to_owned(),
    }
}

fn sample_value(option: &ConfigOption) -> &'static str {
    if is_set(option) {
        "true"
    } else {
        option.default
    }
}

fn is_set(option: &ConfigOption) -> bool {
    matches!(option.field, super::field::Field::Names(_))
}

fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines
            .last_mut()
            .filter(|line| line.len() + word.len() < WIDTH);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}
