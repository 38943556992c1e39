//! What fuzz targets share: an engine that is too simple to be wrong, a node on a simulated machine, and a reader
//! of replies.

pub mod frame;
pub mod model;
pub mod node;
