//! What the daemon counts and times. No label holds an image or a digest.

pub mod http;
