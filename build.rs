//! Compiles `ebpf/` when the `linux` feature is on and clang is installed.
//!
//! With clang: `$OUT_DIR/reuseport.bpf.o` and the cfg `sipedge_bpf`. Without: a warning, and a build that steers by the
//! kernel's own hash. The compiler is `$CLANG`, or `clang`.

fn main() {
    println!("cargo::rerun-if-changed=ebpf");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CLANG");
    #[cfg(feature = "linux")]
    ebpf::build();
}

#[cfg(feature = "linux")]
mod ebpf {
    use std::env;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use libbpf_cargo::SkeletonBuilder;

    pub(crate) fn build() {
        let clang = env::var("CLANG").unwrap_or_else(|_| "clang".into());
        if !runs(&clang) {
            println!(
                "cargo::warning=no clang: built without eBPF, the kernel's own hash will choose shards \
                 (install clang, or name one in CLANG)"
            );
            return;
        }
        let object =
            Path::new(&env::var_os("OUT_DIR").expect("cargo sets it")).join("reuseport.bpf.o");
        let built = SkeletonBuilder::new()
            .source("ebpf/reuseport.bpf.c")
            .clang(&clang)
            .clang_args(["-Wall", "-Wno-unknown-attributes", &include_of_machine()])
            .obj(&object)
            .build();
        match built {
            Ok(()) => println!("cargo::rustc-cfg=sipedge_bpf"),
            Err(error) => {
                let text = format!("{error:#}").replace('\n', " | ");
                println!("cargo::warning=built without eBPF, {clang} failed: {text}");
            }
        }
    }

    fn runs(clang: &str) -> bool {
        let version = Command::new(clang).arg("--version").stdout(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    }

    /// Debian keeps `asm/types.h` in a folder that clang for another target does not look into.
    fn include_of_machine() -> String {
        let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_else(|_| "x86_64".into());
        format!("-I/usr/include/{arch}-linux-gnu")
    }
}
