//! Export and import against each other.
