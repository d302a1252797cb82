//! Whether `syncfs` can be relied on: it says nothing of failed writes before Linux 5.8, and does
//! nothing on some file systems. Must not know what is synced.

use std::fs::File;
use std::sync::OnceLock;

/// The first Linux whose `syncfs` tells of writes that failed (`man 2 syncfs`).
const LINUX_LEAST: (u32, u32) = (5, 8);
/// ext4 and XFS by their magic numbers (`man 2 statfs`).
const KNOWN: [i128; 2] = [0xef53, 0x5846_5342];

/// The file's file system by its number, if it is one of those known.
pub(crate) fn file_system(file: &File) -> Option<u64> {
    static LINUX: OnceLock<bool> = OnceLock::new();
    let is_new =
        *LINUX.get_or_init(|| is_new_enough(&rustix::system::uname().release().to_string_lossy()));
    let kind = i128::from(rustix::fs::fstatfs(file).ok()?.f_type);
    if !is_new || !KNOWN.contains(&kind) {
        return None;
    }
    Some(rustix::fs::fstat(file).ok()?.st_dev)
}

fn is_new_enough(release: &str) -> bool {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let mut next = || parts.next().and_then(Result::ok);
    matches!((next(), next()), (Some(major), Some(minor)) if (major, minor) >= LINUX_LEAST)
}

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[test]
    fn releases_are_compared_by_number() {
        for new in ["5.8.0", "5.10.0-28-amd64", "6.1", "10.0.1"] {
            assert!(is_new_enough(new), "{new}");
        }
        for old in ["5.7.19", "4.19.0", "3.10.0-1160.el7.x86_64", "", "next"] {
            assert!(!is_new_enough(old), "{old}");
        }
    }
}
