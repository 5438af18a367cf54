//! A client that remembers what it did and what it was told, and brokers that are killed, lose
//! their power or their disk's space. After each start its memory is compared with the queues.

mod body;
mod full;
mod ground;
mod history;
mod inspect;
mod judge;
mod kill;
mod life;
mod line;
mod power;
mod random;
mod scene;
mod trace;
mod workers;
