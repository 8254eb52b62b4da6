//! System calls by name.
//!
//! Also part of the build script: nothing here may use the rest of the crate.
#![forbid(unsafe_code)]

use super::arch::Arch;
use super::table::{ELSEWHERE, NO, TABLE};

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// A system call of the architecture, with its number.
    Here(u32),
    /// One that only other architectures have.
    Elsewhere,
    /// Newer than the table, or a typing error.
    Unknown,
}

/// Looks `name` up for `arch`.
pub fn find(arch: Arch, name: &str) -> Lookup {
    match TABLE.binary_search_by_key(&name, |row| row.0) {
        Ok(at) => match column(arch, TABLE[at]) {
            NO => Lookup::Elsewhere,
            number => Lookup::Here(u32::from(number.unsigned_abs())),
        },
        Err(_) if ELSEWHERE.contains(&name) => Lookup::Elsewhere,
        Err(_) => Lookup::Unknown,
    }
}

fn column(arch: Arch, (_, x86_64, aarch64): (&str, i16, i16)) -> i16 {
    match arch {
        Arch::X86_64 => x86_64,
        Arch::Aarch64 => aarch64,
    }
}

/// The name behind a number.
pub fn name(arch: Arch, number: u32) -> Option<&'static str> {
    let row = TABLE.iter().find(|row| i64::from(column(arch, **row)) == i64::from(number));
    row.map(|row| row.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_no_number_twice() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
        assert!(ELSEWHERE.is_sorted_by(|a, b| a < b));
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let mut numbers: Vec<i16> = TABLE.iter().map(|row| column(arch, *row)).collect();
            numbers.retain(|number| *number != NO);
            numbers.sort_unstable();
            assert!(numbers.is_sorted_by(|a, b| a < b), "{arch:?}");
        }
    }

    #[test]
    fn numbers_agree_with_the_c_library() {
        macro_rules! same {
            ($($name:ident)+) => {$(
                let number = u32::try_from(libc::$name).unwrap();
                let name = &stringify!($name)["SYS_".len()..];
                assert_eq!(find(super::super::NATIVE, name), Lookup::Here(number), "{name}");
            )+};
        }
        same!(SYS_read SYS_ioctl SYS_clone SYS_clone3 SYS_socket SYS_keyctl SYS_io_uring_setup);
        same!(SYS_mount SYS_umount2 SYS_setns SYS_landlock_create_ruleset SYS_mseal SYS_statx);
    }

    #[test]
    fn recent_calls_are_known_and_wrong_names_are_not() {
        for (name, number) in [("mseal", 462), ("open_tree_attr", 467), ("listns", 470)] {
            assert_eq!(find(Arch::X86_64, name), Lookup::Here(number));
            assert_eq!(find(Arch::Aarch64, name), Lookup::Here(number));
        }
        assert_eq!(find(Arch::X86_64, "open"), Lookup::Here(2));
        assert_eq!(find(Arch::Aarch64, "open"), Lookup::Elsewhere);
        assert_eq!(find(Arch::X86_64, "socketcall"), Lookup::Elsewhere);
        assert_eq!(find(Arch::X86_64, "opne"), Lookup::Unknown);
    }
}
