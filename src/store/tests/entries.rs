//! Entries: what is handed over at a start, and what the floor keeps.

use super::*;
