//! A log at its limit and a full disk: what still goes through.

use super::*;
