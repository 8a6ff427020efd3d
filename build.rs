//! Tells the program which source revision it was built from, for `registry_integrity_build_info`.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=BUILD_REVISION");
    if env::var_os("BUILD_REVISION").is_some() {
        return;
    }
    // Builds for development would be made anew after each commit. Without a `.git` of its own this is a copy of the source,
    // perhaps inside of somebody else's checkout.
    if env::var("PROFILE").as_deref() != Ok("release") || !Path::new(".git").exists() {
        println!("cargo::rerun-if-changed=build.rs");
        return;
    }
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/logs/HEAD");
    let asked = Command::new("git").args(["rev-parse", "HEAD"]).output();
    if let Ok(output) = asked
        && output.status.success()
        && let Ok(revision) = String::from_utf8(output.stdout)
    {
        println!("cargo::rustc-env=BUILD_REVISION={}", revision.trim());
    }
}
