//! Files in, meaning out, with all problems at once.
pub mod list;
