//! Looking into processes that come up: what somebody does who waits for one
//! that has something of the host's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::json;

use crate::{Report, raw};

/// `seize WORD LAUNCHER`: looks into every process that it sees which is called
/// LAUNCHER, until the file /tmp/over is there. Tells how many it met, and what
/// it got of them: an environment with WORD in it, their program, a descriptor
/// above the standard ones, or a hold of one that is the launcher still. The
/// files /tmp/met and /tmp/got are there once it has met one, and got something.
pub fn seize(args: &[String]) -> Report {
    let [word, launcher] = args else { panic!("WORD LAUNCHER") };
    println!("ready");
    std::io::stdout().flush().expect("write to the standard output");
    let own = std::process::id() as i32;
    let (mut met, mut got) = (BTreeSet::new(), BTreeSet::new());
    while !fs::exists("/tmp/over").unwrap_or(false) {
        let names = fs::read_dir("/proc").expect("list /proc").flatten();
        let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        for pid in pids.filter(|pid| *pid != own) {
            let is_launcher = || {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                name.trim_end() == launcher
            };
            if !is_launcher() {
                continue;
            }
            if met.insert(pid) && met.len() == 1 {
                fs::write("/tmp/met", "").expect("write /tmp/met");
            }
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            if String::from_utf8_lossy(&environment).contains(word.as_str()) {
                got.insert("its environment".to_owned());
            }
            // By its name it is the launcher until a moment after its exec; by
            // its program, until the exec.
            let runs_launcher = || {
                let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
                program.file_name().is_some_and(|name| name == launcher.as_str())
            };
            if runs_launcher() {
                got.insert("its program".to_owned());
            }
            for descriptor in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten() {
                let Ok(descriptor) = descriptor else { continue };
                let number = descriptor.file_name().to_str().and_then(|it| it.parse().ok());
                // The channel shows for a moment of the exec; it can't be opened.
                let is_file = || {
                    let facts = fs::metadata(descriptor.path());
                    facts.is_ok_and(|facts| !facts.file_type().is_socket())
                };
                if matches!(number, Some(3..)) && is_file() && is_launcher() {
                    let target = fs::read_link(descriptor.path()).unwrap_or_default();
                    got.insert(format!("a descriptor of {}", target.display()));
                }
            }
            if raw::seize(pid).is_ok() && runs_launcher() {
                got.insert("a hold of it".to_owned());
            }
            if !got.is_empty() {
                fs::write("/tmp/got", "").expect("write /tmp/got");
            }
        }
        // Who is held has to be let go when it has ended.
        while let Ok(status) = waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            if status == WaitStatus::StillAlive {
                break;
            }
        }
    }
    json!({ "met": met.len(), "got": got }).into()
}

/// `keep-exe`: opens the program of every process that it sees, keeps it, and
/// tries to write to what it has kept, until the file /tmp/over is there. Says
/// how many it has kept and how often it could write.
pub fn keep_exe(_: &[String]) -> Report {
    println!("ready");
    std::io::stdout().flush().expect("write to the standard output");
    let own = fs::metadata("/proc/self/exe").map(|facts| facts.ino()).expect("its program");
    let mut kept: BTreeMap<u64, fs::File> = BTreeMap::new();
    let mut written = 0;
    while !fs::exists("/tmp/over").unwrap_or(false) {
        let names = fs::read_dir("/proc").expect("list /proc").flatten();
        for name in names.map(|entry| entry.file_name()) {
            let path = std::path::Path::new("/proc").join(name).join("exe");
            let Ok(file) = fs::File::open(path) else { continue };
            let inode = file.metadata().map_or(own, |facts| facts.ino());
            if inode != own {
                kept.entry(inode).or_insert(file);
            }
        }
        for file in kept.values() {
            let again = format!("/proc/self/fd/{}", file.as_raw_fd());
            let again = fs::File::options().append(true).open(again);
            written += usize::from(again.is_ok_and(|mut it| it.write_all(b"x").is_ok()));
        }
    }
    json!({ "kept": kept.len(), "written": written }).into()
}
