//! The hostile matrix (C07): every name that the launcher works on, as every
//! kind of thing that a root can hold there.
//!
//! Each cell ends soon, in a working container or in an error that says what
//! is wrong, and nothing outside is touched. One test for each name, all kinds
//! in it; a failing test names its cells.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::common::*;

/// What is put in the name's place.
#[derive(Clone, Copy, Debug)]
enum Kind {
    LinkToDirectory,
    LinkToFile,
    LinkToProgram,
    LinkUpAndOut,
    LinkToNothing,
    LinkToNewFile,
    Loop,
    LinkToDescriptor,
    LinkToWorkingDirectory,
    LinkToRootOfPid1,
    LinkWithNewline,
    Fifo,
    Socket,
    File,
    Directory,
    HardLink,
    ClosedFile,
    ClosedDirectory,
    SparseFile,
}

impl Kind {
    const ALL: [Self; 19] = [
        Self::LinkToDirectory,
        Self::LinkToFile,
        Self::LinkToProgram,
        Self::LinkUpAndOut,
        Self::LinkToNothing,
        Self::LinkToNewFile,
        Self::Loop,
        Self::LinkToDescriptor,
        Self::LinkToWorkingDirectory,
        Self::LinkToRootOfPid1,
        Self::LinkWithNewline,
        Self::Fifo,
        Self::Socket,
        Self::File,
        Self::Directory,
        Self::HardLink,
        Self::ClosedFile,
        Self::ClosedDirectory,
        Self::SparseFile,
    ];

    /// Makes it at `path`; `canary` lies outside of every root.
    fn plant(self, path: &Path, canary: &Path) {
        let link = |target: PathBuf| symlink(target, path).expect("make a link");
        let up =
            || PathBuf::from("../".repeat(12)).join(canary.strip_prefix("/").expect("absolute"));
        let mode =
            |mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
        match self {
            Self::LinkToDirectory => link(canary.join("directory")),
            Self::LinkToFile => link(canary.join("file")),
            Self::LinkToProgram => link(canary.join("program")),
            Self::LinkUpAndOut => link(up()),
            Self::LinkToNothing => link("/no/such/thing".into()),
            // Followed with O_CREAT it would appear in the canary.
            Self::LinkToNewFile => link(canary.join("new")),
            Self::Loop => {
                let name = path.file_name().expect("a name").to_str().expect("text");
                let other = path.with_file_name(format!("{name}-and-back"));
                symlink(name, &other).expect("make a link");
                link(other.file_name().expect("a name").into());
            }
            Self::LinkToDescriptor => link("/proc/self/fd/3".into()),
            Self::LinkToWorkingDirectory => link("/proc/self/cwd/canary/directory".into()),
            Self::LinkToRootOfPid1 => {
                link(Path::new("/proc/1/root").join(canary.strip_prefix("/").expect("absolute")))
            }
            Self::LinkWithNewline => link(canary.join("direc\ntory")),
            Self::Fifo => nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("mkfifo"),
            Self::Socket => {
                // The address of a socket is short, so it is made elsewhere.
                let made = canary.with_file_name("s");
                drop(std::os::unix::net::UnixListener::bind(&made).expect("bind"));
                fs::rename(made, path).expect("move a socket");
            }
            Self::File => fs::write(path, "a file\n").expect("write"),
            Self::Directory => fs::create_dir(path).expect("mkdir"),
            Self::HardLink => fs::hard_link(canary.join("file"), path).expect("link"),
            Self::ClosedFile => {
                fs::write(path, "a file\n").expect("write");
                mode(0o000);
            }
            Self::ClosedDirectory => {
                fs::create_dir(path).expect("mkdir");
                mode(0o000);
            }
            Self::SparseFile => {
                fs::File::create(path).and_then(|file| file.set_len(1 << 40)).expect("1 TiB");
            }
        }
    }
}

/// Removes what a root has at `path`, whatever it is.
fn clear(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => fs::remove_dir_all(path).expect("remove"),
        Ok(_) => fs::remove_file(path).expect("remove"),
        Err(_) => fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir"),
    }
}

/// Writes wherever a container usually can, and says that it works.
const ENTRY: &str = "for f in /dev/null /dev/stdout /tmp/x /run/x /root/x /work/x /etc/hosts \
                     /etc/hostname /etc/resolv.conf /dev/shm/x /v/x; do \
                         [ -p $f ] || [ -L $f ] || { echo x >> $f; } 2>/dev/null; \
                     done; echo works";

/// One cell; what is wrong with it.
fn cell(scratch: &Scratch, template: &Root, name: &str, kind: Kind) -> Result<(), String> {
    let base = scratch.join(format!("{kind:?}"));
    fs::create_dir(&base).expect("a directory for the cell");
    let inner = |part: &str| format!("{kind:?}/{part}");
    let root = template.sibling(scratch, &inner("root")).script("entry", ENTRY);
    fs::create_dir(root.join("work")).expect("mkdir");
    // What is masked by name has to be there.
    fs::write(root.join("etc/mtab"), "masked\n").expect("write");
    let canary = Canary::named(scratch, &inner("canary"));
    let planted = root.join(name.trim_start_matches('/'));
    clear(&planted);
    kind.plant(&planted, canary.path());
    // A hard link counts among the canary's own facts.
    let canary = Canary::of(canary.path());

    let source = scratch.dir(&inner("source"));
    let volume = format!("{source}:/v/sub");
    let options = [
        "-u",
        "root",
        "-w",
        "/work",
        "-v",
        &volume,
        "--tmpfs",
        "/memory",
        "--security-opt",
        "mask=/etc/mtab",
    ];
    let program = Program::run_in(scratch).args(options).arg(root.path()).arg("/entry");
    // The canary is below the caller's working directory, as in real life.
    let done = program.directory(&base).within(5.0).run();
    canary.check()?;
    if let Some(new) = fs::read_dir(&source).expect("list").next() {
        return Err(format!("written through to the volume: {new:?}"));
    }
    match done.status.code() {
        Some(0) if done.stdout() == "works\n" => Ok(()),
        Some(125..=127) if done.bytes.is_empty() && done.stderr.contains("error: ") => {
            done.explained(&[]);
            Ok(())
        }
        _ => Err(format!("{:?}\nstdout: {}\nstderr: {}", done.status, done.stdout(), done.stderr)),
    }
}

/// All kinds at one name; in a slow machine each fourth, other ones for each
/// name.
fn row(name: &str) {
    let scratch = Scratch::new();
    let template = Root::named(&scratch, "template");
    let (first, step) = if is_slow() { (name.len() % 4, 4) } else { (0, 1) };
    let wrong: Vec<String> = Kind::ALL
        .into_iter()
        .skip(first)
        .step_by(step)
        .filter_map(|kind| {
            let told = std::panic::catch_unwind(|| cell(&scratch, &template, name, kind));
            // A time-out comes as a panic; its message has been printed.
            let told = told.unwrap_or_else(|_| Err("see above".to_owned()));
            told.err().map(|what| format!("{kind:?}: {what}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{name} as {}", wrong.join("\nas "));
    Leaks::of(&scratch).none();
}

macro_rules! rows {
    ($($test:ident $name:literal),+ $(,)?) => {$(
        #[test]
        fn $test() {
            requires!();
            row($name);
        }
    )+};
}

rows! {
    bin_sh "/bin/sh",
    dev "/dev",
    dev_console "/dev/console",
    dev_fd "/dev/fd",
    dev_full "/dev/full",
    dev_mqueue "/dev/mqueue",
    dev_null "/dev/null",
    dev_ptmx "/dev/ptmx",
    dev_pts "/dev/pts",
    dev_random "/dev/random",
    dev_shm "/dev/shm",
    dev_stdin "/dev/stdin",
    dev_tty "/dev/tty",
    dev_zero "/dev/zero",
    entry "/entry",
    etc "/etc",
    etc_group "/etc/group",
    etc_hostname "/etc/hostname",
    etc_hosts "/etc/hosts",
    etc_mtab "/etc/mtab",
    etc_passwd "/etc/passwd",
    etc_resolv_conf "/etc/resolv.conf",
    home_of_root "/root",
    memory "/memory",
    proc "/proc",
    run "/run",
    run_secrets "/run/secrets",
    sys "/sys",
    sys_fs_cgroup "/sys/fs/cgroup",
    tmp "/tmp",
    volume "/v",
    volume_target "/v/sub",
    workdir "/work",
}

/// The oracle does see what goes wrong: these are the accidents it stands for.
#[test]
fn the_canary_notices() {
    type Accident = fn(&Path);
    let accidents: [(&str, Accident); 6] = [
        ("a new file", |path| fs::write(path.join("new"), "").unwrap()),
        ("a write", |path| fs::write(path.join("file"), "canary\n").unwrap()),
        ("a mode", |path| {
            fs::set_permissions(path.join("file"), fs::Permissions::from_mode(0o666)).unwrap();
        }),
        ("a link", |path| fs::hard_link(path.join("file"), path.join("../other")).unwrap()),
        ("a directory", |path| fs::create_dir(path.join("directory/new")).unwrap()),
        ("a removal", |path| fs::remove_dir(path.join("directory")).unwrap()),
    ];
    for (what, accident) in accidents {
        let scratch = Scratch::new();
        let canary = Canary::new(&scratch);
        canary.untouched();
        accident(canary.path());
        assert!(canary.check().is_err(), "{what} is not noticed");
    }
}
