//! Each test has a data directory of its own, and brokers over it and over its copies.

mod backup;
mod check;
mod damage;
mod dump;
mod history;
mod load;
mod served;
mod stage;
