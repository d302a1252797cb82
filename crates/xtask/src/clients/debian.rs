//! Programs that come from the distribution: kcat, a JDK, Maven, Go, Node, Python's venv. Installs
//! what is missing where we are root, says what is missing elsewhere.

use std::path::Path;
use std::process::Command;

use super::Family;
use crate::process;

/// A program, the package that has it, and who needs it.
const PROGRAMS: &[(&str, &str, &[Family])] = &[
    ("kcat", "kcat", &[Family::Kcat]),
    ("javac", "default-jdk-headless", &[Family::Java]),
    ("mvn", "maven", &[Family::Java]),
    ("go", "golang-go", &[Family::Go]),
    ("node", "nodejs", &[Family::Node]),
    ("npm", "npm", &[Family::Node]),
    ("python3", "python3-venv", &[Family::Python, Family::Suites]),
    ("pkg-config", "pkg-config", &[Family::Rust, Family::Suites]),
    ("cmake", "cmake", &[Family::Rust, Family::Suites]),
    ("make", "make", &[Family::Rust, Family::Suites]),
    ("g++", "g++", &[Family::Rust, Family::Suites]),
];

/// Installs what `families` need and do not have.
pub(super) fn provide(families: &[Family]) -> anyhow::Result<()> {
    let missing = missing(families, is_ready);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    let names: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let can_install = process::is_installed("apt-get") && is_root();
    anyhow::ensure!(
        can_install,
        "missing: {}; install them (Debian: apt-get install {})",
        names.join(", "),
        packages.join(" ")
    );
    let here = Path::new("/");
    process::run(process::command("apt-get", here).args(["-q", "update"]))?;
    process::run(
        process::command("apt-get", here)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-q", "-y", "install", "--no-install-recommends"])
            .args(packages),
    )
}

fn missing(
    families: &[Family],
    is_installed: impl Fn(&str) -> bool,
) -> Vec<(&'static str, &'static str)> {
    PROGRAMS
        .iter()
        .filter(|(program, _, users)| {
            users.iter().any(|user| families.contains(user)) && !is_installed(program)
        })
        .map(|(program, package, _)| (*program, *package))
        .collect()
}

/// Whether the program is there; of Python also what makes environments, a package of its own.
fn is_ready(program: &str) -> bool {
    let makes_environments = || {
        let probe = Command::new("python3").args(["-c", "import ensurepip, venv"]).output();
        probe.is_ok_and(|probe| probe.status.success())
    };
    process::is_installed(program) && (program != "python3" || makes_environments())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_and_not_there_is_missing() {
        let has = |program: &str| program == "mvn";
        assert_eq!(missing(&[Family::Java], has), [("javac", "default-jdk-headless")]);
        assert_eq!(missing(&[Family::Kcat, Family::Java], |_| true), []);
        let node = [("node", "nodejs"), ("npm", "npm")];
        assert_eq!(missing(&[Family::Node], has), node);
    }
}
