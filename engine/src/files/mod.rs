//! Between directories and trees: reading workspace files without reading them twice, and making trees exist on disk.

pub mod capture;
pub(crate) mod ground;
pub mod links;
pub mod materialize;
pub mod scan;
pub mod stamp;
pub mod stat_cache;
pub mod sync;
pub mod workspace;

#[cfg(test)]
mod tests;
