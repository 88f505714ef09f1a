//! The primitives through their public interface; one binary, because each costs a link.

mod codec;
mod cutter;
mod dedup;
mod seal;
mod vectors;
