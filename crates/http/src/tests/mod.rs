//! The front-end as its clients see it: raw bytes through a pipe, a fake node behind the handle, and
//! an executor that is no runtime at all.

mod backup;
mod cluster;
mod errors;
mod guards;
mod health;
mod hraftd;
mod huffleraft;
mod kv;
mod limits;
mod linger;
mod node;
mod pipe;
mod raftkv;
mod wire;
mod world;
