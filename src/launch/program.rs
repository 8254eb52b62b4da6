//! Why a file that is there can't be executed: what it is, and what it names.
//!
//! The kernel says ENOENT where the loader of a program or the interpreter of a
//! script is missing, and ENOEXEC for a program of another machine (execve(2)).
//! Which file is missing it does not say; the file's first bytes do (elf(5)).
//! It is read as the child would have found it: in the root, or in the tree
//! that is mounted over it.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use nix::libc;

use crate::plan::step::{Slot, Step, Target};
use crate::sys::{Errno, fd, path};

/// What keeps a program from being executed.
#[derive(Debug, PartialEq, Eq)]
pub enum Lack {
    /// The loader that a program names is not there.
    Loader(String),
    /// The interpreter that a script names is not there.
    Interpreter(String),
    /// The same, and no file of the name with a carriage return behind it was
    /// meant: the line ends as on Windows.
    CarriageReturn(String),
    /// It is a program for this machine, which is another one.
    Machine(String),
    /// It has nothing in it.
    Empty,
    /// It is text without a `#!`.
    Text,
}

impl Lack {
    /// Why it was not executed.
    pub fn cause(&self) -> String {
        match self {
            Self::Loader(path) => {
                format!("the file is there, but its loader {path:?} is not in this root")
            }
            Self::Interpreter(path) => {
                format!("the file is there, but its interpreter {path:?} is not in this root")
            }
            Self::CarriageReturn(path) => format!(
                "the file is there, but its interpreter {:?} is not in this root: the #! line \
                 ends with a carriage return, as on Windows",
                format!("{path}\r")
            ),
            Self::Machine(its) => format!(
                "exec format error: it is a program for {its}, and this machine is {}",
                std::env::consts::ARCH
            ),
            Self::Empty => "exec format error: the file is empty".to_owned(),
            Self::Text => "exec format error: it is a script without a #! line".to_owned(),
        }
    }

    /// What would help.
    pub fn hint(&self) -> String {
        match self {
            Self::Loader(path) => format!(
                "it is linked to shared libraries: take a static program, or a root that has \
                 {path} and what ldd lists"
            ),
            Self::Interpreter(path) => {
                format!("put {path} into the root, or name one that it has in the #! line")
            }
            Self::CarriageReturn(_) => {
                "take the carriage returns out: sed -i 's/\\r$//' FILE".to_owned()
            }
            Self::Machine(_) => {
                "take a root for this machine; programs of others need qemu-user registered in \
                 binfmt_misc (Debian: qemu-user-static)"
                    .to_owned()
            }
            Self::Empty => "it may have been copied in part".to_owned(),
            Self::Text => "begin it with #!/bin/sh, or run it by its shell: sh FILE".to_owned(),
        }
    }
}

/// What the first of `candidates` that is there lacks, as the container of
/// `steps` sees it, where the kernel has said `errno` of it; `None` where that
/// can't be told.
pub fn lack(steps: &[Step], candidates: &[CString], errno: Errno) -> Option<Lack> {
    let file = candidates.iter().find_map(|candidate| open(steps, candidate))?;
    match (look(file)?, errno) {
        (Kind::Program { machine, .. }, Errno::ENOEXEC) => machine.map(Lack::Machine),
        (Kind::Empty, Errno::ENOEXEC) => Some(Lack::Empty),
        (Kind::Text, Errno::ENOEXEC) => Some(Lack::Text),
        (Kind::Program { loader: Some(loader), .. }, Errno::ENOENT) => {
            is_missing(steps, &loader).then_some(Lack::Loader(loader))
        }
        (Kind::Script(interpreter), Errno::ENOENT) => script(steps, interpreter),
        _ => None,
    }
}

fn script(steps: &[Step], interpreter: String) -> Option<Lack> {
    let path = CString::new(interpreter.as_str()).ok()?;
    match open(steps, &path).map(look) {
        // One that is there may lack a loader itself.
        Some(Some(Kind::Program { loader: Some(loader), .. })) => {
            is_missing(steps, &loader).then_some(Lack::Loader(loader))
        }
        Some(_) => None,
        None if !is_missing(steps, &interpreter) => None,
        None => Some(match interpreter.strip_suffix('\r') {
            Some(meant) => Lack::CarriageReturn(meant.to_owned()),
            None => Lack::Interpreter(interpreter),
        }),
    }
}

/// What a file is to execve(2).
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// An ELF file: for which machine, if not for this one, and with which
    /// loader.
    Program {
        machine: Option<String>,
        loader: Option<String>,
    },
    Script(String),
    Empty,
    Text,
    Other,
}

/// How much of a file is looked at: the kernel takes 256 bytes of a `#!` line,
/// and a table of program headers is a few hundred bytes behind the first 64.
const HEAD: usize = 4096;

fn look(file: OwnedFd) -> Option<Kind> {
    let mut head = vec![0; HEAD];
    let length = fd::read_at(file.as_fd(), &mut head, 0).ok()?;
    head.truncate(length);
    let loader = |at, length| {
        let mut name = vec![0; length];
        (fd::read_at(file.as_fd(), &mut name, at).ok()? == length).then_some(name)
    };
    Some(kind(&head, loader))
}

fn kind(head: &[u8], read: impl FnOnce(u64, usize) -> Option<Vec<u8>>) -> Kind {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let words = line.trim_ascii_start().split(|byte| matches!(byte, b' ' | b'\t'));
        let word = words.into_iter().next().unwrap_or_default();
        return Kind::Script(String::from_utf8_lossy(word).into_owned());
    }
    if head.starts_with(b"\x7fELF") {
        return elf(head, read).unwrap_or(Kind::Other);
    }
    match head {
        [] => Kind::Empty,
        _ if std::str::from_utf8(head).is_ok_and(|text| !text.contains('\0')) => Kind::Text,
        _ => Kind::Other,
    }
}

/// `e_machine` of this one, and its class (1 for 32 bits, 2 for 64).
const OURS: (u8, u16) = if cfg!(target_arch = "x86_64") { (2, 62) } else { (2, 183) };

/// Of other machines the names that uname(1) has for them.
const MACHINES: [(u8, u16, &str); 11] = [
    (2, 62, "x86_64"),
    (1, 62, "x32"),
    (1, 3, "i686"),
    (2, 183, "aarch64"),
    (1, 40, "arm"),
    (2, 243, "riscv64"),
    (1, 243, "riscv32"),
    (2, 21, "ppc64"),
    (2, 22, "s390x"),
    (2, 258, "loongarch64"),
    (1, 8, "mips"),
];

/// The most that a loader's name may have, `PATH_MAX`.
const LONGEST: usize = path::PATH_MAX;

/// `PT_INTERP`: where the loader's name is.
const INTERP: u64 = 3;

fn elf(head: &[u8], read: impl FnOnce(u64, usize) -> Option<Vec<u8>>) -> Option<Kind> {
    let (class, little) = (*head.get(4)?, *head.get(5)? == 1);
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = head.get(at..at.checked_add(length)?)?;
        let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if little { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) })
    };
    let machine = number(18, 2)? as u16;
    let known = MACHINES.iter().find(|(one, two, _)| (*one, *two) == (class, machine));
    let named = || known.map_or_else(|| format!("machine {machine}"), |(.., it)| (*it).to_owned());
    let foreign = ((class, machine) != OURS || !little).then(named);
    // Elf64_Ehdr and Elf64_Phdr, or the same for 32 bits: where the table of
    // program headers is, how long each is and how many there are, and in each
    // where what it is of begins and how long that is.
    let (word, table, sizes, place, length) =
        if class == 2 { (8, 32, 54, 8, 32) } else { (4, 28, 42, 4, 16) };
    let named_loader = || -> Option<Option<String>> {
        let (table, size, count) = (number(table, word)?, number(sizes, 2)?, number(sizes + 2, 2)?);
        for index in 0..count {
            let at = usize::try_from(table.checked_add(index * size)?).ok()?;
            if number(at, 4)? == INTERP {
                let begins = number(at.checked_add(place)?, word)?;
                let length = usize::try_from(number(at.checked_add(length)?, word)?).ok()?;
                let name = (1..=LONGEST).contains(&length).then(|| read(begins, length));
                let name = CStr::from_bytes_until_nul(&name.flatten()?).ok()?.to_owned();
                return Some(Some(name.to_string_lossy().into_owned()));
            }
        }
        Some(None)
    };
    // That it is another machine's is enough, whatever else it says.
    let loader = match (&foreign, named_loader()) {
        (_, Some(loader)) => loader,
        (Some(_), None) => None,
        (None, None) => return None,
    };
    Some(Kind::Program { machine: foreign, loader })
}

/// Opens a file as the container would see it. Nothing blocks, and nothing that
/// is no file is read: a FIFO gives no bytes.
fn open(steps: &[Step], file: &CStr) -> Option<OwnedFd> {
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
    resolve(steps, file, flags).ok()
}

/// Whether nothing is there: not what merely can't be seen from here.
fn is_missing(steps: &[Step], file: &str) -> bool {
    let Ok(file) = CString::new(file) else { return false };
    matches!(resolve(steps, &file, libc::O_PATH), Err(Errno::ENOENT | Errno::ENOTDIR))
}

fn resolve(steps: &[Step], file: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    let (source, below) = place(steps, file).ok_or(Errno::EINVAL)?;
    let tree = path::open_typed(source, libc::O_PATH)?;
    if below.is_empty() {
        return path::open_typed(source, flags);
    }
    path::open_in_root(tree.as_fd(), below, flags)
}

/// The tree of the host that holds `file`, and its path in there: the last one
/// that is mounted above it. What lies under a file system of our own can't be
/// seen from here.
fn place<'a>(steps: &'a [Step], file: &'a CStr) -> Option<(&'a CStr, &'a CStr)> {
    let source = |slot: Slot| {
        steps.iter().find_map(|step| match step {
            Step::OpenTree { source, into, .. } if *into == slot => Some(source.as_c_str()),
            _ => None,
        })
    };
    let mut found = Some((source(Slot::ROOT)?, file));
    for step in steps {
        let Step::Attach { tree, target: Target::Path(target), .. } = step else { continue };
        let target = target.to_bytes();
        let rest = file.to_bytes_with_nul().strip_prefix(target);
        let Some(rest @ [0 | b'/', ..]) = rest else { continue };
        // A root's own overlay shows what the root has.
        if target != b"/" {
            let below = CStr::from_bytes_with_nul(rest).ok()?;
            found = source(*tree).map(|source| (source, below));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head: &[u8]) -> Kind {
        kind(head, |at, length| head.get(at as usize..at as usize + length).map(<[u8]>::to_vec))
    }

    /// The same laid out for 32 bits, for i686.
    fn small_program(loader: &[u8]) -> Vec<u8> {
        let mut head = vec![0; 52 + 32];
        head[..6].copy_from_slice(b"\x7fELF\x01\x01");
        (head[18], head[28], head[42], head[44]) = (3, 52, 32, 1);
        (head[52], head[56], head[68]) = (3, 84, loader.len() as u8);
        head.extend_from_slice(loader);
        head
    }

    /// A header with one program header behind it, and the loader's name.
    fn program(machine: u16, kind: u32, loader: &[u8]) -> Vec<u8> {
        let mut head = vec![0; 64 + 56];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[18..20].copy_from_slice(&machine.to_le_bytes());
        head[32..40].copy_from_slice(&64_u64.to_le_bytes());
        head[54..56].copy_from_slice(&56_u16.to_le_bytes());
        head[56..58].copy_from_slice(&1_u16.to_le_bytes());
        head[64..68].copy_from_slice(&kind.to_le_bytes());
        head[72..80].copy_from_slice(&120_u64.to_le_bytes());
        head[96..104].copy_from_slice(&(loader.len() as u64).to_le_bytes());
        head.extend_from_slice(loader);
        head
    }

    #[test]
    fn a_script_names_its_interpreter() {
        for (text, named) in [
            ("#!/bin/sh\n", "/bin/sh"),
            ("#! /usr/bin/env python3\n", "/usr/bin/env"),
            ("#!/bin/sh\r\n", "/bin/sh\r"),
            ("#!/bin/sh", "/bin/sh"),
            ("#!\n", ""),
        ] {
            assert_eq!(of(text.as_bytes()), Kind::Script(named.to_owned()), "{text:?}");
        }
        assert_eq!((of(b""), of(b"echo\n"), of(b"\0\0")), (Kind::Empty, Kind::Text, Kind::Other));
    }

    #[test]
    fn a_program_names_its_loader_and_its_machine() {
        let loader =
            |name: Option<&str>| Kind::Program { machine: None, loader: name.map(str::to_owned) };
        let ours = OURS.1;
        let dynamic = program(ours, 3, b"/lib/ld.so.2\0");
        assert_eq!(of(&dynamic), loader(Some("/lib/ld.so.2")));
        assert_eq!(of(&program(ours, 1, b"")), loader(None), "a static one");
        let other = if ours == 62 { (183, "aarch64") } else { (62, "x86_64") };
        let foreign = of(&program(other.0, 3, b"/x\0"));
        let loader_too = Some("/x".to_owned());
        assert_eq!(
            foreign,
            Kind::Program { machine: Some(other.1.to_owned()), loader: loader_too }
        );
        let small = Kind::Program {
            machine: Some("i686".to_owned()),
            loader: Some("/lib/ld-linux.so.2".to_owned()),
        };
        assert_eq!(of(&small_program(b"/lib/ld-linux.so.2\0")), small);
        // Whatever is cut off or lies about its lengths is no reason to guess.
        for cut in 4..dynamic.len() {
            assert_ne!(of(&dynamic[..cut]), loader(Some("/lib/ld.so.2")), "{cut}");
        }
        let mut lies = dynamic.clone();
        lies[96..104].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(of(&lies), Kind::Other);
        lies = dynamic;
        lies[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(of(&lies), Kind::Other);
    }

    #[test]
    fn the_last_tree_above_a_file_holds_it() {
        use crate::plan::step::{Expect, Lookup, Missing};
        use crate::sys::mount::Reach;
        let open = |source: &CStr, into| Step::OpenTree {
            source: source.to_owned(),
            lookup: Lookup::AsTyped,
            into,
            reach: Reach::Tree,
            expect: Expect::Any,
        };
        let attach = |tree, target: &CStr| Step::Attach {
            tree,
            what: "a volume".to_owned(),
            target: Target::Path(target.to_owned()),
            missing: Missing::Create,
        };
        let steps = [
            open(c"/srv/root", Slot::ROOT),
            open(c"/home/me", Slot(1)),
            attach(Slot(1), c"/work"),
            attach(Slot(2), c"/tmp"),
        ];
        let place = |file| place(&steps, file);
        assert_eq!(place(c"/bin/sh"), Some((c"/srv/root", c"/bin/sh")));
        assert_eq!(place(c"/work/a"), Some((c"/home/me", c"/a")));
        assert_eq!(place(c"/work"), Some((c"/home/me", c"")));
        assert_eq!(place(c"/workshop/a"), Some((c"/srv/root", c"/workshop/a")));
        assert_eq!(place(c"/tmp/a"), None, "a file system of our own");
    }
}
