//! `sublet cp`: files out of containers and into them.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crate::common::*;

const SLEEP: &str = "echo ready; exec sleep 600";

fn cp(at: &At, words: &[&str]) -> Program {
    at.sublet(&[&["cp"], words].concat())
}

/// A file in a container, as its root reads it.
fn inside(at: &At, script: &str) -> String {
    at.sublet(&["exec", "web", "sh", "-c", script]).ok()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").permissions().mode() & 0o7777
}

/// As docker has it: what is there decides what the copy is called.
#[test]
fn a_copy_is_called_as_with_docker() {
    requires!();
    let at = At::new();
    let _web = at.start("web", &[], SLEEP);
    let (file, dir) = (at.scratch.file("file", "text\n"), at.scratch.dir("dir/below"));
    fs::write(Path::new(&dir).join("x"), "x\n").unwrap();
    let dir = at.scratch.text("dir");
    for (from, to, made) in [
        (file.as_str(), "web:/tmp", "/tmp/file"),
        (&file, "web:/tmp/other", "/tmp/other"),
        (&file, "web:tmp/", "/tmp/file"),
        (&dir, "web:/tmp", "/tmp/dir/below/x"),
        (&dir, "web:/tmp/new", "/tmp/new/below/x"),
        (&format!("{dir}/."), "web:/tmp/here", "/tmp/here/below/x"),
        (&format!("{dir}/."), "web:/srv/", "/srv/below/x"),
    ] {
        inside(&at, "rm -rf /tmp/* /srv; mkdir /srv");
        assert_eq!(cp(&at, &[from, to]).ok(), "");
        inside(&at, &format!("test -f {made}"));
    }
    for (from, made) in
        [("web:/etc/passwd", "passwd"), ("web:/etc", "etc/group"), ("web:/etc/.", "group")]
    {
        let to = at.scratch.dir(&format!("to-{made}").replace('/', "-"));
        cp(&at, &[from, &to]).ok();
        assert!(Path::new(&to).join(made).is_file(), "{from}");
    }
    let to = at.scratch.text("named");
    cp(&at, &["web:/etc/passwd", &to]).ok();
    assert_eq!(
        fs::read_to_string(&to).unwrap(),
        fs::read_to_string(at.root.join("etc/passwd")).unwrap()
    );
    cp(&at, &["web:/etc", &at.scratch.text("etc2")]).ok();
    assert!(at.scratch.join("etc2/group").is_file());
}

#[test]
fn what_can_not_be_is_said() {
    requires!();
    let at = At::new();
    let _web = at.start("web", &[], SLEEP);
    let file = at.scratch.file("file", "");
    let dir = at.scratch.dir("dir");
    for (words, told) in [
        (&["web:/nix", "."][..], &["\"/nix\" in the container"][..]),
        (&["/nonexistent/x", "web:/tmp"], &["/nonexistent"]),
        (&[&file, "web:/no/such/x"], &["\"/no/such/\" in the container"]),
        (&[&file, "web:/tmp/no/"], &["\"/tmp/no/\" in the container is not there"]),
        (&[&dir, "web:/etc/passwd"], &["is not a directory"]),
        (&["web:/a", "web:/b"], &["both are in containers"]),
        (&["a", "b"], &["neither is in a container", "CONTAINER:PATH"]),
        (&["web:/a"], &["two words"]),
        (&["nix:/a", "."], &["no container nix"]),
        (&["-", "web:/nix"], &["a stream needs a directory"]),
    ] {
        cp(&at, words).refused(told);
    }
    // Nothing is made for nothing.
    assert_eq!(inside(&at, "ls /tmp"), "");
}

/// Everything that a file is comes along, but what would give rights.
#[test]
fn files_stay_what_they_are() {
    requires!(subuid);
    let at = At::new();
    let _web = at.start("web", &[], SLEEP);
    inside(
        &at,
        "mkdir -p /srv/a/b /srv/empty; cd /srv; echo one > a/one; ln a/one a/b/two; \
         ln -s ../../etc/passwd a/link; ln -s /nowhere dangling; mkfifo pipe || mknod pipe p; \
         chmod 6755 a/one; chmod 1777 a/b; chown 5:6 a; dd if=/dev/zero of=hole bs=1 count=1 \
         seek=50000000 2>/dev/null; touch \"$(printf 'odd\\n\\033[2Jname')\"; chmod 0 empty; \
         echo x > secret; chown 7:7 secret; chmod 600 secret; touch -d 2001-02-03 a/b",
    );
    let to = at.scratch.dir("to");
    let done = cp(&at, &["web:/srv", &to]).run();
    done.exits(0);
    let srv = Path::new(&to).join("srv");
    let own = caller();
    for path in ["a", "a/one", "secret", "empty", "a/link"] {
        let facts = fs::symlink_metadata(srv.join(path)).unwrap();
        assert_eq!((facts.uid(), facts.gid()), own, "{path} is the caller's");
    }
    assert_eq!(mode(&srv.join("a/one")), 0o755, "no set-user-id bit on the host");
    assert_eq!((mode(&srv.join("a/b")), mode(&srv.join("empty"))), (0o1777, 0));
    let (one, two) =
        (fs::metadata(srv.join("a/one")).unwrap(), fs::metadata(srv.join("a/b/two")).unwrap());
    assert_eq!(one.ino(), two.ino(), "two names of one file");
    assert_eq!(fs::read_link(srv.join("a/link")).unwrap(), Path::new("../../etc/passwd"));
    assert!(fs::symlink_metadata(srv.join("pipe")).unwrap().file_type().is_fifo());
    assert!(srv.join("odd\n\u{1b}[2Jname").is_file());
    let hole = fs::metadata(srv.join("hole")).unwrap();
    assert_eq!(hole.len(), 50_000_001);
    assert!(hole.blocks() * 512 < 10_000_000, "{} blocks", hole.blocks());
    assert_eq!(fs::metadata(srv.join("a/b")).unwrap().mtime() / 86_400, 11_356);

    // What the caller may not read stops it, and nobody waits for more.
    let back = srv.to_str().unwrap();
    cp(&at, &[back, "web:/tmp/back"]).refused(&["empty", "Permission denied"]);
    fs::remove_dir(srv.join("empty")).unwrap();
    inside(&at, "rm -rf /tmp/back");

    // And back: the container's root has it, or with -a who had it.
    cp(&at, &[back, "web:/tmp/back"]).ok();
    assert_eq!(inside(&at, "stat -c %u:%g /tmp/back/a/one"), "0:0");
    let nobodys = at.scratch.file("file", "");
    cp(&at, &["-a", &nobodys, "web:/tmp/file"]).ok();
    assert_eq!(inside(&at, "stat -c %u:%g /tmp/file"), "0:0", "the caller is its root");
}

#[test]
fn streams_are_tar_files() {
    requires!(subuid);
    let at = At::new();
    let _web = at.start("web", &[], SLEEP);
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(180));
    inside(
        &at,
        &format!(
            "mkdir -p /srv/{0}; echo deep > /srv/{0}/x; ln -s x /srv/{0}/link; \
             echo mine > /srv/mine; chown 7:8 /srv/mine; : > /srv/empty",
            long.replace('f', "e")
        ),
    );
    let stream = cp(&at, &["web:/srv", "-"]).run();
    stream.exits(0);
    let to = at.scratch.dir("to");
    Program::new("tar").args(["-C", &to, "-x"]).input(stream.bytes.clone()).ok();
    let deep = Path::new(&to).join("srv").join(long.replace('f', "e"));
    assert_eq!(fs::read_to_string(deep.join("link")).unwrap(), "deep\n");
    let listed =
        Program::new("tar").args(["-t", "-v", "--numeric-owner"]).input(stream.bytes.clone());
    assert!(listed.ok().lines().any(|line| line.contains("7/8") && line.ends_with("srv/mine")));

    // As it came, and once more by another program's hand.
    inside(&at, "mkdir /tmp/in /tmp/kept");
    cp(&at, &["-", "web:/tmp/in"]).input(stream.bytes.clone()).ok();
    assert_eq!(inside(&at, "cat /tmp/in/srv/*/*/x; stat -c %u:%g /tmp/in/srv/mine"), "deep\n0:0");
    cp(&at, &["-a", "-", "web:/tmp/kept"]).input(stream.bytes).ok();
    assert_eq!(inside(&at, "stat -c %u:%g /tmp/kept/srv/mine"), "7:8");
    let packed = Program::new("tar").args(["-C", &to, "-c", "srv"]).run();
    cp(&at, &["-", "web:/tmp"]).input(packed.bytes.clone()).ok();
    assert_eq!(inside(&at, "cat /tmp/srv/*/*/x"), "deep");
    let cut = packed.bytes[..packed.bytes.len() / 3].to_vec();
    cp(&at, &["-", "web:/tmp"]).input(cut).refused(&["copy to web"]);
    cp(&at, &["-", "web:/tmp"]).input("no tar file").refused(&["not a tar file"]);
}

/// C10, CVE-2018-15664: nothing in the container leads a copy out of it.
#[test]
fn links_lead_nowhere_else() {
    requires!();
    let at = At::new();
    let canary = Canary::new(&at.scratch);
    let outside = canary.path().display().to_string();
    symlink(&outside, at.root.join("out")).unwrap();
    symlink(format!("{outside}/file"), at.root.join("tmp/file")).unwrap();
    symlink("../../../../../../../../../../../../../../", at.root.join("up")).unwrap();
    symlink("/proc/self/root", at.root.join("magic")).unwrap();
    let _web = at.start("web", &[], SLEEP);
    let to = at.scratch.dir("to");
    for from in
        ["web:/out/file", "web:/out/.", &format!("web:/up{outside}/file"), "web:/magic/etc/."]
    {
        let done = cp(&at, &[from, &to]).run();
        assert!(!fs::exists(format!("{to}/file")).unwrap(), "{from}: {}", done.stderr);
    }
    let file = at.scratch.file("file", "overwritten\n");
    cp(&at, &[&file, "web:/out/file"]).run().exits(125);
    // A link where a file goes is replaced, never followed.
    cp(&at, &[&file, "web:/tmp"]).ok();
    assert_eq!(inside(&at, "cat /tmp/file"), "overwritten");
    // What is no file would be lost, for all who use it.
    let pipe = at.scratch.text("fifo");
    nix::unistd::mkfifo(Path::new(&pipe), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for to in [&pipe, "/dev/null"] {
        let told = cp(&at, &["web:/tmp/file", to]).run();
        told.refused(&["a device, a pipe or a socket", to]);
    }
    cp(&at, &[&file, "web:/dev/null"]).refused(&["a device, a pipe or a socket"]);
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    // A link where a directory goes is in the way.
    let tree = at.scratch.dir("tree/out");
    fs::write(Path::new(&tree).join("file"), "x").unwrap();
    let tree = at.scratch.text("tree");
    cp(&at, &[&format!("{tree}/."), "web:/"]).refused(&["not a directory"]);
    canary.untouched();

    // A stream can name what it likes.
    for name in ["../escaped", "a/../../escaped", "/out/file"] {
        let packed = Program::new("tar")
            .args(["-C", &at.scratch.text("."), "-c", "-P"])
            .arg(format!("--transform=s|^file$|{name}|"))
            .arg("file")
            .run();
        assert!(!packed.bytes.is_empty(), "{}", packed.stderr);
        cp(&at, &["-", "web:/"]).input(packed.bytes).refused(&[]);
    }
    canary.untouched();
}

/// The same while names change under the copy's hands.
#[test]
fn links_that_come_meanwhile_lead_nowhere_else() {
    requires!();
    let at = At::new();
    let canary = Canary::new(&at.scratch);
    let script = format!(
        "mkdir -p /srv/a/d /srv/b; echo inside > /srv/a/d/file; ln -s {} /srv/l; echo ready; \
         while :; do mv /srv/a/d /srv/b/d; ln -s {} /srv/a/d; rm /srv/a/d; mv /srv/b/d /srv/a/d; done",
        canary.path().display(),
        canary.path().display(),
    );
    let _web = at.start("web", &[], &script);
    let tree = at.scratch.dir("tree/a/d");
    fs::write(Path::new(&tree).join("file"), "outside\n").unwrap();
    let tree = format!("{}/.", at.scratch.text("tree"));
    for attempt in 0..races().min(60) {
        let to = at.scratch.dir(&format!("to-{attempt}"));
        for words in [["web:/srv/a", &to], [&tree, "web:/srv"]] {
            let done = cp(&at, &words).within(60.0).run();
            if done.code() != 0 {
                done.refused(&[]);
            }
        }
        // The link itself may have been copied; what it leads to may not.
        let directory = Path::new(&to).join("a/d");
        if fs::symlink_metadata(&directory).is_ok_and(|facts| facts.is_dir()) {
            let text = fs::read_to_string(directory.join("file")).unwrap_or_default();
            assert_ne!(text, "canary\n", "attempt {attempt}");
        }
        canary.untouched();
    }
}

/// C06, CVE-2026-103916: a directory of the caller's that the container has too
/// is full of what the container put there.
#[test]
fn links_in_a_volume_lead_nowhere_else() {
    requires!();
    let at = At::new();
    let canary = Canary::new(&at.scratch);
    let (work, other) = (at.scratch.dir("work"), at.scratch.dir("other"));
    let outside = canary.path().display().to_string();
    let script =
        format!("ln -s {outside} /work/out && ln -s /work/out /home/out && echo ready; sleep 600");
    let volumes = ["-v", &format!("{work}:/work"), "-v", &format!("{other}:/other:ro")];
    let _web = at.start("web", &volumes, &script);
    let file = at.scratch.file("log", "overwritten\n");
    cp(&at, &[&file, "web:/tmp/file"]).ok();
    let inside_root = at.root.join("home/out").display().to_string();
    for link in [&format!("{work}/out"), &inside_root] {
        let refused = |words: [&str; 2]| {
            let told = ["is a link, and container web can write to its directory", "it leads to"];
            cp(&at, &words).refused(&told);
        };
        refused(["web:/tmp/file", link]);
        refused(["web:/tmp/file", &format!("{link}/file")]);
        refused(["web:/tmp/.", &format!("{link}/.")]);
        refused([&format!("{link}/file"), "web:/tmp/stolen"]);
        refused([&format!("{link}/."), "web:/tmp"]);
        canary.untouched();
        assert_eq!(inside(&at, "ls /tmp"), "file");
        // A link that is named last is copied as one, as ever.
        cp(&at, &[link, "web:/tmp"]).ok();
        assert_eq!(inside(&at, "readlink /tmp/out >/dev/null && rm /tmp/out; ls /tmp"), "file");
    }
    // Whoever is meant by the copy: another container can have made the link.
    let _db = at.start("db", &[], SLEEP);
    cp(&at, &["db:/etc/passwd", &format!("{work}/out")]).refused(&["container web can write"]);
    cp(&at, &["web:/tmp/file", ""]).refused(&["an empty path"]);
    canary.untouched();

    // A volume is the same by another name, one that the container may open too.
    fs::rename(&work, at.scratch.join("moved")).unwrap();
    let moved = at.scratch.text("moved/out");
    cp(&at, &["web:/tmp/file", &moved]).refused(&["container web can write"]);
    fs::rename(at.scratch.join("moved"), &work).unwrap();
    let closed = at.scratch.dir("closed");
    let volume = format!("{closed}:/closed:ro");
    let _strong = at.start("strong", &["-v", &volume, "--cap-add", "SYS_ADMIN"], SLEEP);
    symlink(&outside, at.scratch.join("closed/out")).unwrap();
    let out = format!("{closed}/out");
    cp(&at, &["web:/tmp/file", &out]).refused(&["container strong can write"]);
    canary.untouched();

    // The caller's own links lead where they do, and one that is older than the
    // container is not its own.
    fs::create_dir(at.scratch.join("third")).unwrap();
    symlink("../work", at.scratch.join("third/mine")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    let third = format!("{}:/third", at.scratch.text("third"));
    let _third = at.start("third", &["-v", &third], SLEEP);
    symlink(&work, at.scratch.join("mine")).unwrap();
    symlink(&work, at.scratch.join("other/mine")).unwrap();
    for (name, mine) in [("a", "mine"), ("b", "other/mine"), ("c", "third/mine")] {
        let to = at.scratch.join(mine).join(name).display().to_string();
        cp(&at, &["web:/tmp/file", &to]).ok();
        assert_eq!(
            fs::read_to_string(at.scratch.join("work").join(name)).unwrap(),
            "overwritten\n"
        );
    }
}

#[test]
fn a_copy_into_itself_ends() {
    requires!();
    let at = At::new();
    let _web = at.start("web", &[], SLEEP);
    fs::create_dir_all(at.root.join("srv/in")).unwrap();
    let to = at.root.join("srv/in").display().to_string();
    cp(&at, &["web:/srv", &to]).refused(&["into itself"]);
}

/// What is deeper than descriptors last is refused, and what is not is copied.
#[test]
fn deep_trees() {
    requires!();
    let at = At::new();
    let _web = at.start("web", &[], SLEEP);
    inside(
        &at,
        "cd /srv 2>/dev/null || { mkdir /srv; cd /srv; }; i=0; \
         while [ $i -lt 200 ]; do mkdir d; cd d; i=$((i+1)); done; echo deep > file",
    );
    let to = at.scratch.dir("to");
    cp(&at, &["web:/srv", &to]).ok();
    let deep = Path::new(&to).join("srv").join("d/".repeat(200)).join("file");
    assert_eq!(fs::read_to_string(deep).unwrap(), "deep\n");
    if need::prlimit().is_ok() {
        let few = ["prlimit", "--nofile=100:100"];
        cp(&at, &["web:/srv", &at.scratch.text("few")]).under(&few).refused(&["too deep"]);
    }
}

#[test]
fn a_container_that_has_ended() {
    requires!();
    let at = At::new();
    at.run(&["--name", "over"]).args(["sh", "-c", "echo left > /tmp/left"]).run().exits(0);
    let to = at.scratch.text("left");
    let own = cp(&at, &["over:/tmp/left", &to]).run();
    assert_eq!((own.code(), fs::read_to_string(&to).unwrap().as_str()), (0, "left\n"));
    cp(&at, &[&to, "over:/tmp/back"]).ok();
    assert_eq!(fs::read_to_string(at.root.join("tmp/back")).unwrap(), "left\n");
    let overlay = format!("{}:O", at.root.text());
    Program::run_in(&at.scratch).args(["--name", "gone", &overlay, "true"]).run().exits(0);
    cp(&at, &["gone:/etc/passwd", &to]).refused(&["is not running", "overlay has ended"]);
}

/// Volumes, and files that only its root may read; kept maps of all kinds.
#[test]
fn what_is_seen_is_what_the_container_sees() {
    requires!(subuid);
    for options in
        [&["--userns", "keep-id"][..], &["--userns", "nomap"], &["--userns", "single"], &["--init"]]
    {
        let at = At::new();
        fs::create_dir(at.root.join("mnt")).unwrap();
        let volume = at.scratch.dir("volume");
        fs::set_permissions(&volume, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(at.scratch.join("volume/here"), "volume\n").unwrap();
        let volume = format!("{volume}:/mnt");
        let tmpfs = ["--tmpfs", "/run", "-v", &volume];
        let _web = at.start("web", &[&tmpfs[..], options].concat(), SLEEP);
        let to = at.scratch.text("here");
        cp(&at, &["web:/mnt/here", &to]).ok();
        assert_eq!(fs::read_to_string(&to).unwrap(), "volume\n", "{options:?}");
        cp(&at, &[&to, "web:/run/there"]).ok();
        assert_eq!(inside(&at, "cat /run/there"), "volume", "{options:?}");
    }
}
