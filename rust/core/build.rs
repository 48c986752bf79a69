//! Builds kata-init, which the extension embeds, and the protocol messages when the source has none yet.
//!
//! kata-init is freestanding: it needs no other target than the one the extension is built for, only link flags
//! of its own. It is built by a second cargo in this crate's OUT_DIR, so that the two never wait for each other.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{exit, Command};

const INIT_FLAGS: [&str; 10] = [
    "-C",
    "link-arg=-nostartfiles",
    "-C",
    "link-arg=-nostdlib",
    "-C",
    "link-arg=-static",
    "-C",
    "relocation-model=static",
    "-C",
    "target-feature=+crt-static",
];

fn main() {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let Some(workspace) = manifest.ancestors().nth(2) else { fail("rust/core is not in a workspace") };
    for path in ["rust/init", "rust/plan", "protos", "scripts/gen_protos.py"] {
        println!("cargo:rerun-if-changed={}", workspace.join(path).display());
    }
    println!("cargo:rustc-env=KATA_TARGET={}", variable("TARGET"));
    println!("cargo:rustc-env=KATA_INIT={}", build_init(&whole_workspace(workspace)).display());
    if env::var_os("CARGO_FEATURE_EXTENSION_MODULE").is_some() {
        generate_protos(workspace);
    }
}

/// The workspace with kata-init in it. `maturin sdist` strikes members that the extension does not depend on
/// from the manifest; then a corrected one is put beside a link to the sources.
fn whole_workspace(workspace: &Path) -> PathBuf {
    let read = std::fs::read_to_string(workspace.join("Cargo.toml"));
    let manifest = read.unwrap_or_else(|error| fail(&format!("Cargo.toml: {error}")));
    if manifest.contains("\"rust/init\"") {
        return workspace.to_owned();
    }
    let whole = PathBuf::from(variable("OUT_DIR")).join("workspace");
    let corrected = manifest.replacen("members = [", "members = [\"rust/init\", ", 1);
    let _ = std::fs::remove_file(whole.join("rust"));
    std::fs::create_dir_all(&whole)
        .and_then(|()| std::fs::write(whole.join("Cargo.toml"), corrected))
        .and_then(|()| std::os::unix::fs::symlink(workspace.join("rust"), whole.join("rust")))
        .unwrap_or_else(|error| fail(&format!("{}: {error}", whole.display())));
    whole
}

fn build_init(workspace: &Path) -> PathBuf {
    let target = variable("TARGET");
    let target_dir = PathBuf::from(variable("OUT_DIR")).join("init");
    run(Command::new(variable("CARGO"))
        .current_dir(workspace)
        .args(["rustc", "-p", "kata-init", "--bin", "kata-init", "--profile", "init", "--target", &target])
        .arg("--target-dir")
        .arg(&target_dir)
        .arg("--")
        .args(INIT_FLAGS)
        // Flags meant for the extension (coverage, sanitizers, -C target-cpu) have no place in a program without std.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER"));
    target_dir.join(target).join("init").join("kata-init")
}

/// `maturin build` alone comes here without messages; pip comes through scripts/build_backend.py and has them.
fn generate_protos(workspace: &Path) {
    let package = workspace.join("python/kata_hybrid/agent/_proto/v1/descriptors.py");
    if package.exists() || !workspace.join("protos").exists() {
        return;
    }
    let python = env::var("PYO3_PYTHON").unwrap_or_else(|_| "python3".into());
    println!("cargo:warning=making the protocol messages with {python} scripts/gen_protos.py");
    run(Command::new(python).arg(workspace.join("scripts/gen_protos.py")));
}

fn run(command: &mut Command) {
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            fail(&format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
        }
        Err(error) => fail(&format!("{command:?}: {error}")),
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| fail(&format!("{name} is not set: this is a build script of cargo's")))
}

fn fail(why: &str) -> ! {
    eprintln!("{why}");
    exit(1)
}
