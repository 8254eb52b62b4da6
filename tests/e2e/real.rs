//! Real programs in real root filesystems.

use std::fs;
use std::path::PathBuf;

use crate::common::*;

fn host(scratch: &Scratch) -> Program {
    Program::run_in(scratch).within(120.0)
}

#[test]
fn python_on_the_hosts_own_system() {
    requires!(python3);
    let scratch = Scratch::new();
    let script = "import os, ssl, json, subprocess, tempfile, socket; \
                  print(os.getpid(), os.getuid(), socket.gethostname(), \
                        subprocess.check_output(['id', '-u']).decode().strip()); \
                  tempfile.NamedTemporaryFile().write(b'x')";
    let words = ["-h", "snake", "host", "python3", "-c", script];
    assert_eq!(host(&scratch).args(words).ok(), "1 0 snake 0");
}

#[test]
fn python_uses_many_processes() {
    requires!(python3);
    let scratch = Scratch::new();
    // Needs shared memory, semaphores and threads.
    let script = "from concurrent.futures import *\n\
                  import multiprocessing, threading\n\
                  with ProcessPoolExecutor(4) as p: print(sum(p.map(abs, range(-100, 0))))\n\
                  with ThreadPoolExecutor(4) as p: print(sum(p.map(abs, range(-100, 0))))\n";
    let words = ["host", "python3", "-c", script];
    assert_eq!(host(&scratch).args(words).ok(), "5050\n5050");
}

/// A directory under its own name, as people bring their work in.
fn work(scratch: &Scratch) -> (String, String) {
    let directory = scratch.dir("work");
    let volume = format!("{directory}:{directory}");
    (directory, volume)
}

#[test]
fn a_test_suite_of_python() {
    requires!(python3);
    let scratch = Scratch::new();
    let (directory, volume) = work(&scratch);
    scratch.file("work/adder.py", "def add(a, b):\n    return a + b\n");
    scratch.file(
        "work/test_adder.py",
        "import unittest, adder, pathlib\n\
         class Adds(unittest.TestCase):\n\
         \x20   def test_adds(self):\n\
         \x20       self.assertEqual(adder.add(2, 3), 5)\n\
         \x20       pathlib.Path('report').write_text('passed')\n",
    );
    let words = ["-v", &volume, "-w", &directory, "host", "python3", "-m", "unittest", "-v"];
    let done = host(&scratch).args(words).run();
    done.exits(0);
    assert!(done.stderr.contains("test_adds"), "{}", done.stderr);
    assert_eq!(fs::read_to_string(scratch.join("work/report")).unwrap(), "passed");
}

#[test]
fn a_build_of_c() {
    requires!(compiler);
    let scratch = Scratch::new();
    let (directory, volume) = work(&scratch);
    let main = "#include <stdio.h>\nint add(int, int);\nint main(void) { printf(\"%d\\n\", add(2, 3)); }\n";
    scratch.file("work/main.c", main);
    scratch.file("work/add.c", "int add(int a, int b) { return a + b; }\n");
    scratch.file(
        "work/Makefile",
        "program: main.o add.o\n\tcc -o $@ $^\ncheck: program\n\t./program\n",
    );
    let words = ["-v", &volume, "-w", &directory, "host", "make", "-s", "-j2", "check"];
    assert_eq!(host(&scratch).args(words).ok(), "5");
    assert!(scratch.join("work/program").exists());
}

/// A Debian root, unpacked inside a container: its files belong to many ids,
/// which are the caller's own only there.
fn debian(scratch: &Scratch) -> (PathBuf, PathBuf) {
    let roots = PathBuf::from(std::env::var_os("SUBLET_ROOTS").expect("needed by the test"));
    let root = scratch.dir("debian");
    let tar = format!("{}:/mnt/debian.tar:ro", roots.join("debian.tar").display());
    let out = format!("{root}:/media");
    let words = ["-v", &tar, "-v", &out, "host", "tar", "-C", "/media", "--exclude=./dev/*"];
    host(scratch).args(words).args(["-xpf", "/mnt/debian.tar"]).ok();
    (root.into(), roots.join("debian-repo"))
}

#[test]
fn apt_installs_in_a_debian_root() {
    requires!(debian, subuid, ordinary_user);
    let scratch = Scratch::new();
    let (root, repository) = debian(&scratch);
    let volume = format!("{}:/repo:ro", repository.display());
    let inside = |script: &str| {
        let program = host(&scratch).args(["-v", &volume, "-e", "DEBIAN_FRONTEND=noninteractive"]);
        program.arg(&root).args(["sh", "-ec", script]).within(300.0).run()
    };
    let before = inside("command -v hello sl || echo none").ok();
    assert_eq!(before, "none");
    // apt itself goes back to a user of its own for downloading.
    let done = inside("apt-get -q update && apt-get -q -y install hello sl && hello && dpkg -s sl");
    let told = done.ok();
    assert!(told.contains("Hello, world!"), "{told}");
    assert!(told.contains("Status: install ok installed"), "{told}");
    for complaint in ["W:", "E:", "Operation not permitted", "Permission denied"] {
        assert!(!done.stderr.contains(complaint), "{}", done.stderr);
    }
    // It is there in the next container too, and is taken out again.
    assert_eq!(
        inside("hello --greeting=again && apt-get -q -y remove hello >/dev/null").ok(),
        "again"
    );
    inside("hello").exits(127);
}

#[test]
fn users_are_added_in_a_debian_root() {
    requires!(debian, subuid, ordinary_user);
    let scratch = Scratch::new();
    let (root, _) = debian(&scratch);
    let script = "useradd -m someone && su someone -c 'id -un; touch ~/file' && \
                  stat -c %U /home/someone/file && chown -R games: /home/someone && \
                  stat -c %U:%G /home/someone && passwd -S someone >/dev/null";
    let told = host(&scratch).arg(&root).args(["sh", "-ec", script]).ok();
    assert_eq!(told, "someone\nsomeone\ngames:games");
}
