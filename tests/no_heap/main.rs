//! No heap between clone and exec.
//!
//! The launcher's children, the container's first process, its reaper and the
//! watcher, have the launcher's memory or a copy of it, and so its heap, in use
//! or in whatever state that was. Here the launcher runs with an allocator that
//! ends every other process that uses it, and a count in shared memory tells of
//! it even where the launcher is gone too. What takes the C library's malloc
//! without asking Rust is not seen.
//!
//! This program is three: the test; with [`COUNTER`] in its environment the
//! launcher; and as `/payload` what runs inside.

#[allow(unsafe_code)] // an allocator
mod allocator;
mod cases;
#[allow(unsafe_code)] // clones
mod child;
mod launched;
mod tally;

use std::cell::RefCell;
use std::hint::black_box;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::libc;
use sublet::plan::Memory;
use sublet::sys::process::Ended;

use cases::{Case, Scratch, Streams};
use child::child;
use launched::{COUNTER, Launched};
use tally::{Need, Tally};

#[global_allocator]
static ALLOCATOR: allocator::Guarded = allocator::Guarded;

fn main() -> ExitCode {
    let mut words = std::env::args();
    if words.next().as_deref() == Some("/payload") {
        return payload(words);
    }
    match std::env::var(COUNTER) {
        Ok(counter) => launcher(&counter, words),
        Err(_) => test(words.filter(|word| !word.starts_with('-')).collect()),
    }
}

/// What the launcher is called.
const SUBLET: &str = "sublet";
const OCI: &str = "sublet-oci";

/// What runs inside.
fn payload(mut words: impl Iterator<Item = String>) -> ExitCode {
    match words.next().as_deref() {
        Some("exit") => {
            let code = words.next().and_then(|code| code.parse::<u8>().ok());
            ExitCode::from(code.unwrap_or(99))
        }
        Some("terminal") => {
            let all = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
            println!("{}", if all { "a terminal" } else { "no terminal" });
            ExitCode::from(3)
        }
        Some("wait") => {
            println!("{}", cases::READY);
            std::thread::sleep(Duration::from_secs(100));
            ExitCode::from(98)
        }
        _ => ExitCode::from(97),
    }
}

/// `sublet`, guarded; or `faulty`, a launcher whose child does use the heap.
fn launcher(counter: &str, words: impl Iterator<Item = String>) -> ExitCode {
    if let Err(error) = allocator::guard(counter) {
        eprintln!("guard the heap: {error}");
        return ExitCode::from(96);
    }
    let words: Vec<String> = words.collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["faulty", memory, fault] => faulty(memory, fault),
        _ => sublet::cli::main(),
    }
}

/// Uses of the heap by a child, by name.
const FAULTS: [&str; 5] = ["alloc", "alloc_zeroed", "realloc", "dealloc", "in namespaces"];

fn faulty(memory: &str, fault: &str) -> ExitCode {
    let bytes: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(1));
    let memory = if memory == "shared" { Memory::Shared } else { Memory::Copied };
    let namespaces = match fault {
        "in namespaces" => libc::CLONE_NEWUSER | libc::CLONE_NEWPID,
        _ => 0,
    };
    let work = || {
        // What it complains of is expected: nobody is to read it.
        let _ = nix::unistd::close(2);
        match fault {
            "alloc" | "in namespaces" => drop(black_box(Box::new(1))),
            "alloc_zeroed" => drop(black_box(vec![0_u8; black_box(9)])),
            "realloc" => bytes.borrow_mut().reserve_exact(black_box(999)),
            "dealloc" => drop(black_box(bytes.take())),
            _ => {}
        }
        0
    };
    match child(memory, namespaces, &work) {
        Ok(Ended::Exited(code)) => ExitCode::from(code as u8),
        Ok(Ended::Killed(signal)) => ExitCode::from(128 + signal as u8),
        Err(errno) => {
            eprintln!("clone: {errno}");
            ExitCode::from(95)
        }
    }
}

/// Runs the checks that have one of the words in their names, or all.
fn test(words: Vec<String>) -> ExitCode {
    let mut tally = Tally::new(words);
    let namespace = Need::of("user_namespace", child::user_namespace());
    for memory in ["shared", "copied"] {
        let name = format!("a child in {memory} memory may do without the heap");
        tally.check(&name, &[], || fires(memory, "nothing", 0));
        for fault in FAULTS {
            let needs: &[&Need] = if fault == "in namespaces" { &[&namespace] } else { &[] };
            let name = format!("a child in {memory} memory may not use the heap: {fault}");
            tally.check(&name, needs, || fires(memory, fault, 1));
        }
    }
    let scratch = match std::env::current_exe().and_then(|program| Scratch::new(&program)) {
        Ok(scratch) => scratch,
        Err(error) => {
            tally.check("make files for the containers", &[], || Err(error.into()));
            return tally.sum();
        }
    };
    let range = Need::of("subuid", range());
    for (name, line) in cases::STARTS_WITH_A_RANGE {
        let case = scratch.case(name, Ended::Exited(0), line);
        tally.check(name, &[&namespace, &range], || holds(&case));
    }
    for case in scratch.cases() {
        tally.check(case.name, &[&namespace], || holds(&case));
    }
    for case in scratch.bundles() {
        let name = format!("sublet-oci: {}", case.name);
        tally.check(&name, &[&namespace], || holds_as(OCI, case.words.clone(), &case));
    }
    drop(scratch);
    tally.sum()
}

/// The allocator sees a child's fault, as often as that.
fn fires(memory: &str, fault: &str, uses: u32) -> anyhow::Result<()> {
    let words = ["faulty", memory, fault].map(str::to_owned);
    let launched = Launched::run(&words, Streams::Files, None)?;
    ensure!(launched.uses == uses, "the heap was used {} times: {launched}", launched.uses);
    let code = if uses == 0 { 0 } else { allocator::ABORTED };
    ensure!(launched.ended == Ended::Exited(code), "{launched}");
    Ok(())
}

/// Why there are no ranges of ids to be had.
fn range() -> Result<(), String> {
    let words =
        ["run", "--network", "none", "--userns", "nomap", "--dry-run", "host"].map(str::to_owned);
    let planned = Launched::run(&words, Streams::Files, None).map_err(|error| error.to_string())?;
    match planned.ended {
        Ended::Exited(0) => Ok(()),
        _ => Err(planned.output.lines().next().unwrap_or_default().to_owned()),
    }
}

/// The container is what it was to be, and no child used the heap.
fn holds(case: &Case) -> anyhow::Result<()> {
    let run = ["run", "--network", "none"].map(str::to_owned);
    let words: Vec<String> = run.into_iter().chain(case.words.iter().cloned()).collect();
    holds_as(SUBLET, words, case)
}

/// The same of a launcher that is called so.
fn holds_as(name: &str, words: Vec<String>, case: &Case) -> anyhow::Result<()> {
    let line = format!("{name} {}", words.join(" "));
    let launched = Launched::run_as(name, &words, case.streams, case.signal);
    let launched = launched.with_context(|| line.clone())?;
    let told = || format!("{line}: {launched}");
    ensure!(launched.uses == 0, "a child used the heap: {}", told());
    ensure!(launched.ended == case.ended, "it was to end as {:?}: {}", case.ended, told());
    ensure!(launched.output.contains(case.says), "it does not say {:?}: {}", case.says, told());
    ensure!(launched.orphans_ended_well(), "left behind {:?}: {}", launched.orphans, told());
    Ok(())
}
