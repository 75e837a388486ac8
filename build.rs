//! Compiles `ebpf/` into skeletons when the `linux` feature is on and clang is installed.
fn main() {}
