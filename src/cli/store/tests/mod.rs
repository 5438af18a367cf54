//! Tests that need the whole process but its sockets.

mod damage;
