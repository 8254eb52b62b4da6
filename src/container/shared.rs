//! Paths of the caller's, through directories that containers can write to.
//!
//! Who types `sublet cp web:/log work/out` means the directory `out`, and who
//! starts a container again with `-v work/data:/data` what lies there. Where a
//! container has `work` as a volume it may have put a link in its place, to
//! whatever the caller can write to and it can't (CVE-2026-103916). So a path
//! through links is walked here name by name, and a link that lies in such a
//! directory is followed nowhere, unless it is older than the container. Other
//! links are the caller's own, and followed.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use anyhow::{Context, anyhow};
use nix::fcntl::{readlink, readlinkat};
use nix::libc;
use nix::sys::stat::{FileStat, fstat};
use nix::unistd::geteuid;
use oci_spec::runtime::Capability;

use super::record;
use crate::error::Explain;
use crate::plan::step::{Expect, Lookup, Step};
use crate::spec::{Root, Spec};
use crate::state::{Moment, Tree};
use crate::sys::path::{on_procfs, open_component, open_following, open_typed, open_without_links};
use crate::sys::{Errno, Result};

/// The links that one path may lead through; as many as the kernel follows
/// (path_resolution(7)).
const LINKS: usize = 40;

const DIRECTORY: i32 = libc::O_PATH | libc::O_DIRECTORY;

/// The directories that containers can write to: since when, and whose they
/// are. Of several, whoever has it longest.
type Known = HashMap<Tree, (Moment, String)>;

/// How much earlier than it was made a file may seem to be, in nanoseconds: its
/// time is that of the kernel's last tick, of which there are 100 a second at
/// least.
const TICK: u64 = 20_000_000;

/// Looks whose links are on a path.
#[derive(Default)]
pub struct Shared {
    /// Asked for once a path leads through a link: most don't.
    known: OnceCell<Known>,
}

/// What a path leads to.
#[derive(Debug, Default)]
pub struct Settled {
    /// A path to the same that leads through no link, if there is one.
    path: Option<CString>,
    /// What is there, if anything is.
    opened: Option<OwnedFd>,
}

impl Shared {
    /// Opens a path of the caller's. Flags as in open(2): with `O_PATH`
    /// whatever it is, else a directory.
    ///
    /// # Errors
    /// An [`Errno`], as open(2); a link that a container may have made.
    pub fn open(&self, text: &[u8], flags: i32) -> anyhow::Result<OwnedFd> {
        let path = CString::new(text).map_err(|_| Errno::EINVAL)?;
        let path = if path.is_empty() { c"." } else { &*path };
        if let Some(opened) = plainly(path, flags) {
            return Ok(opened?);
        }
        let Walk { mut passed, stopped, .. } = self.walk(path.to_bytes())?;
        if let Some((errno, _)) = stopped {
            return Err(errno.into());
        }
        let Some(at) = passed.pop() else { return Err(Errno::ENOENT.into()) };
        if flags & libc::O_PATH == 0 || flags & libc::O_DIRECTORY != 0 {
            return Ok(open_following(at.as_fd(), c".", flags)?);
        }
        Ok(at)
    }

    /// What a path of the caller's leads to now, for somebody who opens it a
    /// moment later and follows no link.
    ///
    /// # Errors
    /// A link that a container may have made.
    pub fn settle(&self, path: &CStr) -> anyhow::Result<Settled> {
        // Whatever else is the matter, who opens it will say.
        if let Some(opened) = plainly(path, libc::O_PATH) {
            return Ok(Settled { path: Some(path.to_owned()), opened: opened.ok() });
        }
        let Walk { mut passed, stopped, through_process } = self.walk(path.to_bytes())?;
        let Some(at) = passed.pop() else { return Ok(Settled::default()) };
        let mut settled = name_of(at.as_fd())?;
        if let Some((_, rest)) = &stopped {
            settled.push(b'/');
            settled.extend(rest);
        }
        let mut path = CString::new(settled).ok();
        if through_process {
            // What such a link leads to may have no path, or not here.
            let again =
                path.as_deref().and_then(|path| open_without_links(path, libc::O_PATH).ok());
            let is_the_same = again
                .is_some_and(|again| Tree::of(again.as_fd()).ok() == Tree::of(at.as_fd()).ok());
            path = path.filter(|_| is_the_same);
        }
        Ok(Settled { path, opened: Some(at).filter(|_| stopped.is_none()) })
    }

    /// Goes along a path, as far as it leads.
    fn walk(&self, text: &[u8]) -> anyhow::Result<Walk> {
        let (mut passed, mut ahead) = (vec![start(text)?], components(text));
        let (mut links, mut through_process) = (0, false);
        while let Some(next) = ahead.pop_front() {
            let name = CString::new(next).map_err(|_| Errno::EINVAL)?;
            let at = passed.last().context("a path begins somewhere")?.as_fd();
            let there = match name.to_bytes() {
                b"." => open_following(at, &name, DIRECTORY).inspect(|_| _ = passed.pop()),
                b".." => open_following(at, &name, DIRECTORY).map(|above| {
                    passed.pop();
                    // Where it came from: what a container has moved meanwhile
                    // may have another directory above it.
                    passed.pop().unwrap_or(above)
                }),
                // Said to be a directory, it is mounted where autofs has it.
                _ => match open_component(at, &name, DIRECTORY) {
                    Err(Errno::ENOTDIR) => open_component(at, &name, libc::O_PATH),
                    opened => opened,
                },
            };
            let there = match there {
                Ok(there) => there,
                Err(errno) => {
                    ahead.push_front(name.into_bytes());
                    let rest = ahead.make_contiguous().join(&b'/');
                    return Ok(Walk { passed, stopped: Some((errno, rest)), through_process });
                }
            };
            let facts = fstat(&there)?;
            if !is(&facts, libc::S_IFLNK) {
                passed.push(there);
                continue;
            }
            let at = passed.last().context("a link is in a directory")?.as_fd();
            links += 1;
            if links > LINKS {
                return Err(Errno::ELOOP.into());
            }
            if on_procfs(at)? {
                // Its text doesn't say where it leads.
                through_process = true;
                match open_following(at, &name, libc::O_PATH) {
                    Ok(there) => passed = vec![there],
                    Err(errno) => {
                        let stopped = Some((errno, name.into_bytes()));
                        return Ok(Walk { passed, stopped, through_process });
                    }
                }
                continue;
            }
            let target = readlinkat(&there, c"")?.into_vec();
            if !is_roots(&facts, &fstat(at)?)
                && let Some(whose) = self.maker(&facts, &target, at)?
            {
                return refused(at, &name, &target, whose);
            }
            let mut leads = components(&target);
            leads.append(&mut ahead);
            ahead = leads;
            if target.starts_with(b"/") {
                passed = vec![start(&target)?];
            }
        }
        Ok(Walk { passed, stopped: None, through_process })
    }

    /// The container that may have put this link into that directory, or had it
    /// lead elsewhere by moving a directory that it is in: one that can write
    /// there, and since before that was last done.
    fn maker(
        &self,
        link: &FileStat,
        target: &[u8],
        directory: BorrowedFd<'_>,
    ) -> anyhow::Result<Option<&str>> {
        let known = match self.known.get() {
            Some(known) => known,
            None => {
                let known = known()?;
                self.known.get_or_init(|| known)
            }
        };
        let leads_up = target.split(|byte| *byte == b'/').any(|name| name == b"..");
        let mut newest = changed(link);
        let mut at = open_following(directory, c".", DIRECTORY)?;
        let mut this = Tree::of(at.as_fd())?;
        loop {
            if let Some((since, whose)) = known.get(&this)
                && newest.0.saturating_add(TICK) >= since.0
            {
                return Ok(Some(whose));
            }
            if leads_up {
                newest = newest.max(changed(&fstat(&at)?));
            }
            let above = open_following(at.as_fd(), c"..", DIRECTORY)
                .context("look whether a container can write to where a link of the path lies")?;
            let that = Tree::of(above.as_fd())?;
            // Only the root is its own parent.
            if this == that {
                return Ok(None);
            }
            (at, this) = (above, that);
        }
    }
}

/// When a file was made or moved, or changed otherwise: nobody can set that
/// back.
fn changed(facts: &FileStat) -> Moment {
    let seconds = u64::try_from(facts.st_ctime).unwrap_or(0);
    let rest = u64::try_from(facts.st_ctime_nsec).unwrap_or(0);
    Moment(seconds.saturating_mul(1_000_000_000).saturating_add(rest))
}

/// Says where the link lies and where it leads.
fn refused<T>(
    directory: BorrowedFd<'_>,
    name: &CStr,
    target: &[u8],
    whose: &str,
) -> anyhow::Result<T> {
    let place = name_of(directory)?;
    let (link, target) = (shown(&[&place, &b"/"[..], name.to_bytes()].concat()), shown(target));
    Err(anyhow!("{link} is a link, and container {whose} can write to its directory"))
        .hint(format!("it leads to {target}: name that itself, if it is meant"))
}

/// How far a path has led.
struct Walk {
    /// The directories, and at last what it is.
    passed: Vec<OwnedFd>,
    /// Why no further, and what was left of it.
    stopped: Option<(Errno, Vec<u8>)>,
    /// A link of procfs was followed.
    through_process: bool,
}

/// Opens a path, or says why not, if nothing has to be known of containers for
/// it: it leads through no link, and never back.
fn plainly(path: &CStr, flags: i32) -> Option<Result<OwnedFd>> {
    if path.to_bytes().split(|byte| *byte == b'/').any(|name| name == b"..") {
        return None;
    }
    match open_without_links(path, flags) {
        Err(Errno::ELOOP) => None,
        opened => Some(opened),
    }
}

/// Has a start open the caller's trees where they lie now, and through no link:
/// whose a tree is was looked at here. Gives those that the container can write
/// to.
///
/// # Errors
/// A link that a container may have made.
pub fn settle(steps: &mut [Step], spec: &Spec) -> anyhow::Result<Vec<Tree>> {
    let given: HashSet<&[u8]> = writable(spec).map(|path| path.as_os_str().as_bytes()).collect();
    let (shared, mut trees) = (Shared::default(), Vec::new());
    for step in steps {
        let Step::OpenTree { source, lookup, expect, .. } = step else { continue };
        // The host's own, as they have to be.
        if matches!(expect, Expect::Device { .. } | Expect::Block { .. }) {
            continue;
        }
        let Settled { path, opened } =
            shared.settle(source).with_context(|| format!("open {source:?}"))?;
        if let Some(opened) = opened.filter(|_| given.contains(source.to_bytes()))
            && is(&fstat(&opened)?, libc::S_IFDIR)
        {
            trees.push(Tree::of(opened.as_fd())?);
        }
        if let Some(path) = path {
            (*source, *lookup) = (path, Lookup::NoLinks);
        }
    }
    Ok(trees)
}

/// What every container that there is a record of was given to write. Where
/// nothing can be recorded there is none.
fn known() -> anyhow::Result<Known> {
    let mut known = Known::new();
    let Ok(store) = record::store() else { return Ok(known) };
    for record in store.list()?.records {
        for tree in &record.trees {
            let has_it = || (record.created, record.label().to_owned());
            let first = known.entry(*tree).or_insert_with(has_it);
            if record.created < first.0 {
                *first = has_it();
            }
        }
    }
    Ok(known)
}

/// The directories and files of the host that a container can write to: its
/// root, where that is a directory, and its volumes. Who may mount in it may
/// open what was mounted read-only.
fn writable(spec: &Spec) -> impl Iterator<Item = &Path> {
    let process = spec.oci.process().as_ref();
    let kept = process.and_then(|process| process.capabilities().as_ref()?.bounding().as_ref());
    let mounts = kept.is_some_and(|kept| kept.contains(&Capability::SysAdmin));
    let is_closed = spec.oci.root().as_ref().is_some_and(|root| root.readonly() == Some(true));
    let root = match &spec.beside.root {
        Root::Directory(path) => Some(path.as_path()).filter(|_| mounts || !is_closed),
        Root::Host => Some(Path::new("/")).filter(|_| mounts),
        Root::Overlay(_) => None,
    };
    let volumes = spec.oci.mounts().iter().flatten().filter_map(move |mount| {
        let options = mount.options().as_deref().unwrap_or_default();
        let is_closed = options.iter().any(|word| word == "ro" || word == "rro");
        let is_bind = mount.typ().as_deref() == Some("bind");
        mount.source().as_deref().filter(|_| is_bind && (mounts || !is_closed))
    });
    root.into_iter().chain(volumes)
}

/// Whether nobody but root can have made this link or moved it there: no
/// container of another user's is root.
fn is_roots(link: &FileStat, directory: &FileStat) -> bool {
    let for_all = directory.st_mode & 0o022 != 0 && directory.st_mode & libc::S_ISVTX == 0;
    !geteuid().is_root() && link.st_uid == 0 && directory.st_uid == 0 && !for_all
}

/// The path of what is open.
fn name_of(open: BorrowedFd<'_>) -> anyhow::Result<Vec<u8>> {
    let link = format!("/proc/self/fd/{}", open.as_raw_fd());
    Ok(readlink(link.as_str()).context("ask for the path of what is open")?.into_vec())
}

/// A path in quotes, without control characters.
pub fn shown(path: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(path))
}

fn is(facts: &FileStat, kind: libc::mode_t) -> bool {
    facts.st_mode & libc::S_IFMT == kind
}

/// Where the walk of a path begins.
fn start(path: &[u8]) -> Result<OwnedFd> {
    open_typed(if path.starts_with(b"/") { c"/" } else { c"." }, DIRECTORY)
}

/// The names of a path. A slash at its end means the directory: `.` of it.
fn components(path: &[u8]) -> VecDeque<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    let mut names: VecDeque<Vec<u8>> = names.map(<[u8]>::to_vec).collect();
    if path.ends_with(b"/") {
        names.push_back(b".".to_vec());
    }
    names
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;
    use crate::error::{causes, hint};

    /// A directory with `work` in it, which is container web's, and `mine`.
    struct Files(PathBuf);

    impl Files {
        fn new(test: &str) -> Self {
            let name = format!("sublet-shared-{test}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(path.join("work/inner")).unwrap();
            fs::create_dir(path.join("mine")).unwrap();
            fs::write(path.join("mine/file"), "").unwrap();
            Self(path.canonicalize().unwrap())
        }

        fn link(&self, name: &str, target: &str) {
            symlink(target, self.0.join(name)).unwrap();
        }

        fn open(&self, path: &str, flags: i32) -> anyhow::Result<Tree> {
            let opened = self.shared(Moment(0)).open(&self.text(path), flags)?;
            Ok(Tree::of(opened.as_fd())?)
        }

        /// Where web has had `work` since then.
        fn shared(&self, since: Moment) -> Shared {
            let work = std::fs::File::open(self.0.join("work")).unwrap();
            let known = (Tree::of(work.as_fd()).unwrap(), (since, "web".to_owned()));
            Shared { known: OnceCell::from(HashMap::from([known])) }
        }

        /// What a path is settled as, without the directory, and whether
        /// something is there.
        fn settled(&self, path: &str) -> (Option<String>, bool) {
            let path = CString::new(self.text(path)).unwrap();
            let Settled { path, opened } = self.shared(Moment(0)).settle(&path).unwrap();
            let base = self.0.to_str().unwrap();
            let path = path.map(|path| path.to_str().unwrap().replace(base, ""));
            (path, opened.is_some())
        }

        fn text(&self, path: &str) -> Vec<u8> {
            self.0.join(path).into_os_string().into_vec()
        }

        /// It is what open(2) would open, or can't be, for the same reason.
        fn is_as_ever(&self, path: &str) {
            for flags in [libc::O_PATH, DIRECTORY, libc::O_RDONLY | libc::O_DIRECTORY] {
                let ours = self.open(path, flags).map_err(|error| error.downcast().unwrap());
                let path = CString::new(self.text(path)).unwrap();
                let plain = open_typed(&path, flags);
                assert_eq!(ours, plain.map(|fd| Tree::of(fd.as_fd()).unwrap()), "{path:?}");
            }
        }

        fn is_refused(&self, path: &str, link: &str, target: &str) {
            let error = self.open(path, libc::O_PATH).unwrap_err();
            let said = causes(&error).replace(self.0.to_str().unwrap(), "");
            let whose = "and container web can write to its directory";
            assert_eq!(said, format!("\"{link}\" is a link, {whose}"), "{path}");
            assert!(hint(&error).unwrap().contains(&format!("{target:?}")), "{path}");
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_path_leads_where_it_always_does() {
        let files = Files::new("plain");
        files.link("relative", "mine/../work");
        files.link("mine/absolute", files.0.join("work/inner").to_str().unwrap());
        files.link("twice", "mine/absolute/.");
        files.link("dangling", "nowhere");
        files.link("round", "round");
        files.link("process", "/proc/self/cwd");
        for path in [
            "mine",
            "mine/file",
            "mine/file/",
            "mine/file/.",
            "mine/none",
            "none/none",
            "mine//file",
            "work/inner/",
            "work/inner/../..",
            "relative/inner",
            "relative/",
            "twice",
            "twice/..",
            "dangling",
            "dangling/",
            "round",
            "process/",
            "process/..",
            "process/../none",
            "mine/./absolute/../inner",
        ] {
            files.is_as_ever(path);
        }
        let links = Files::new("links");
        links.link("0", "mine");
        for at in 1..=40 {
            links.link(&at.to_string(), &(at - 1).to_string());
        }
        // One of 40 links, and one more.
        links.is_as_ever("39/file");
        links.is_as_ever("40/file");
        assert!(files.open("a\0b", libc::O_PATH).is_err());
    }

    #[test]
    fn a_path_is_settled_without_links() {
        let files = Files::new("settled");
        files.link("one", "mine");
        files.link("two", files.0.join("one/.").to_str().unwrap());
        files.link("self", "/proc/self/cwd");
        let cwd = std::env::current_dir().unwrap();
        let is = |path: &str, settled: &str, there: bool| {
            assert_eq!(files.settled(path), (Some(settled.to_owned()), there), "{path}");
        };
        is("mine/file", "/mine/file", true);
        is("mine/none/x", "/mine/none/x", false);
        is("work/inner/../../mine", "/mine", true);
        is("two/file", "/mine/file", true);
        is("two/none/x/../y", "/mine/none/x/../y", false);
        is("two/file/x", "/mine/file/x", false);
        // Links of the kernel's.
        is("self/.", cwd.to_str().unwrap(), true);
        is("self/..", cwd.parent().unwrap().to_str().unwrap(), true);
        let (reader, _writer) = std::io::pipe().unwrap();
        files.link("pipe", &format!("/proc/self/fd/{}", reader.as_raw_fd()));
        assert_eq!(files.settled("pipe"), (None, true));
        files.link("work/out", "../mine");
        let path = CString::new(files.text("work/out")).unwrap();
        assert!(files.shared(Moment(0)).settle(&path).is_err());
    }

    #[test]
    fn no_link_of_a_containers_is_followed() {
        let files = Files::new("links-of-others");
        files.link("work/out", "../mine");
        files.link("work/inner/out", "/etc");
        files.link("mine/through", "../work/inner/out");
        files.link("work/dangling", "nowhere");
        files.is_refused("work/out", "/work/out", "../mine");
        files.is_refused("work/out/file", "/work/out", "../mine");
        files.is_refused("work/inner/../out/", "/work/out", "../mine");
        files.is_refused("work/inner/out", "/work/inner/out", "/etc");
        files.is_refused("mine/through/passwd", "/work/inner/out", "/etc");
        files.is_refused("work/dangling", "/work/dangling", "nowhere");
        // Nothing is the matter with what is there itself.
        files.is_as_ever("work/inner");
        files.is_as_ever("work/inner/none");
    }

    #[test]
    fn a_link_that_is_older_than_the_container_is_the_callers() {
        let files = Files::new("older");
        fs::create_dir(files.0.join("work/inner/deep")).unwrap();
        files.link("work/up", "../mine");
        files.link("work/inner/deep/up", "../../../mine");
        files.link("work/inner/deep/whole", files.0.join("mine").to_str().unwrap());
        let pause = || std::thread::sleep(std::time::Duration::from_millis(60));
        pause();
        let since = Moment::now();
        let opens = |path: &str| {
            files.shared(since).open(&files.text(path), libc::O_PATH).map(drop).map_err(drop)
        };
        for path in ["work/up/file", "work/inner/deep/up", "work/inner/deep/whole/"] {
            assert_eq!(opens(path), Ok(()), "{path}");
        }
        pause();
        fs::rename(files.0.join("work/inner/deep"), files.0.join("work/deep")).unwrap();
        // It leads elsewhere by now: not one that is whole.
        assert_eq!((opens("work/deep/up"), opens("work/deep/whole/file")), (Err(()), Ok(())));
        fs::rename(files.0.join("work/up"), files.0.join("work/moved")).unwrap();
        assert_eq!(opens("work/moved"), Err(()));
    }
}
