//! Where the service manager of the calling user listens.
//!
//! It starts units for whoever reaches its socket, so the socket has to be
//! the user's own: `XDG_RUNTIME_DIR` stays as it was under su(1) and may name
//! another user's.
//!
//! The manager's own socket comes first, though systemd(1) means it for
//! systemctl(1); podman uses it too. The bus would do, but systemd starts it
//! when the first program connects: that one waits for its start, and then
//! finds that the manager is not on it yet.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::advice::Advice;
use super::advice::table::limits;
use super::caller::Caller;

/// A socket behind which a service manager listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bus {
    /// Where it is.
    pub path: PathBuf,
    /// Who answers first.
    pub kind: Kind,
}

/// Who answers at a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The bus of the user's session; the user's manager has a name on it.
    Session,
    /// A manager itself, without a bus between.
    Private,
    /// The bus of the machine; the manager of the machine has a name on it.
    System,
}

/// Where to look.
#[derive(Clone, Debug)]
pub struct Places {
    /// `/run`.
    pub run: PathBuf,
    /// `$XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<OsString>,
    /// `$DBUS_SESSION_BUS_ADDRESS`.
    pub address: Option<OsString>,
}

impl Places {
    /// Those of this machine and this process's environment.
    pub fn probe() -> Self {
        Self {
            run: "/run".into(),
            runtime_dir: std::env::var_os("XDG_RUNTIME_DIR"),
            address: std::env::var_os("DBUS_SESSION_BUS_ADDRESS"),
        }
    }

    /// What may be there for `uid`, the likeliest first. The address comes
    /// last: where it names another bus than the others, that is one which
    /// somebody started for a few programs (dbus-run-session(1)), without
    /// systemd.
    ///
    /// Who is root in a user namespace is root of a whole system, or an ordinary
    /// user's engine: `outside` is who that is then. What isn't his is seen to be
    /// somebody else's.
    fn candidates(&self, uid: u32, outside: u32) -> Vec<Bus> {
        let bus = |path: PathBuf, kind| Bus { path, kind };
        if uid == 0 {
            let mut machines = vec![
                bus(self.run.join("systemd/private"), Kind::Private),
                bus(self.run.join("dbus/system_bus_socket"), Kind::System),
            ];
            if outside != 0 {
                machines.extend(self.candidates(outside, outside));
            }
            return machines;
        }
        let told = self.runtime_dir.as_ref().map(PathBuf::from).filter(|path| path.is_absolute());
        let mut directories = Vec::from_iter(told);
        directories.push(self.run.join(format!("user/{uid}")));
        directories.dedup();
        let session = directories.iter().map(|at| bus(at.join("bus"), Kind::Session));
        let private = directories.iter().map(|at| bus(at.join("systemd/private"), Kind::Private));
        let address = self.address.clone().and_then(socket_of);
        private.chain(session).chain(address.map(|path| bus(path, Kind::Session))).collect()
    }
}

/// The socket of the service manager that starts units for `caller`: its own,
/// and for root the machine's. Nothing is connected to.
///
/// # Errors
/// Why there is none.
pub fn find(caller: &Caller, places: &Places) -> Result<Bus, Advice> {
    if !places.run.join("systemd/system").is_dir() {
        return Err(limits::SYSTEMD_ABSENT.advice(&[]));
    }
    let mut refused = None;
    for bus in places.candidates(caller.uid, caller.uid_outside()) {
        match look(&bus.path, caller.uid) {
            Found::Socket => return Ok(bus),
            Found::Nothing => {}
            Found::Refused(cause) => refused = refused.or(Some(cause)),
        }
    }
    let cause = refused.unwrap_or_else(|| match caller.uid {
        0 => "neither systemd's own socket nor the system's bus is in /run".to_owned(),
        uid => format!("systemd runs no service manager for uid {uid}: no session is open"),
    });
    let row = if caller.uid == 0 { &limits::SYSTEM_BUS_NONE } else { &limits::SESSION_NONE };
    Err(row.advice(&[("cause", &cause), ("uid", &caller.uid)]))
}

enum Found {
    Socket,
    Nothing,
    Refused(String),
}

/// A symbolic link is none: what it leads to is for its owner to say.
fn look(path: &Path, uid: u32) -> Found {
    let facts = match path.symlink_metadata() {
        Ok(facts) => facts,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Found::Nothing;
        }
        Err(error) => return Found::Refused(format!("look at {path:?}: {error}")),
    };
    if !facts.file_type().is_socket() {
        return Found::Refused(format!("{path:?} is not a socket"));
    }
    if ![uid, 0].contains(&facts.uid()) {
        let owner = facts.uid();
        return Found::Refused(format!("{path:?} belongs to uid {owner}, and you are uid {uid}"));
    }
    Found::Socket
}

/// The path in the first `unix:path=` of an address as the D-Bus
/// specification writes it: alternatives between `;`, keys between `,`, bytes
/// as `%XX`.
fn socket_of(address: OsString) -> Option<PathBuf> {
    let address = address.into_string().ok()?;
    let path = address.split(';').find_map(|one| {
        one.strip_prefix("unix:")?.split(',').find_map(|pair| pair.strip_prefix("path="))
    })?;
    let path = PathBuf::from(OsString::from_vec(unescape(path)?));
    path.is_absolute().then_some(path)
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(piece.get(..2)?, 16).ok()?);
        bytes.extend(&piece.as_bytes()[2..]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::super::made_up;
    use super::*;

    /// A directory in place of /run, gone with its test.
    struct Run(PathBuf);

    impl Run {
        fn new(test: &str) -> Self {
            let name = format!("sublet-bus-{test}-{}", std::process::id());
            let run = Self(std::env::temp_dir().join(name));
            std::fs::create_dir_all(run.0.join("systemd/system")).unwrap();
            run
        }

        fn socket(&self, path: &str) -> PathBuf {
            let path = self.0.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            UnixListener::bind(&path).unwrap();
            path
        }

        fn places(&self) -> Places {
            Places { run: self.0.clone(), runtime_dir: None, address: None }
        }
    }

    impl Drop for Run {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    /// Who makes the sockets of these tests, or anna where that is root, whose
    /// sockets anybody may trust.
    fn caller() -> Caller {
        let uid = match nix::unistd::getuid().as_raw() {
            0 => 1000,
            uid => uid,
        };
        Caller { uid, ..made_up::user() }
    }

    fn own(file: &str) -> String {
        format!("user/{}/{file}", caller().uid)
    }

    #[test]
    fn the_managers_own_socket_comes_first_and_an_address_last() {
        let run = Run::new("order");
        let places = Places {
            runtime_dir: Some(run.0.join("x").into()),
            address: Some(
                format!("unix:abstract=/y;unix:guid=7,path={}/a%2db", run.0.display()).into(),
            ),
            ..run.places()
        };
        let found = || find(&caller(), &places).unwrap();
        for (path, kind) in [
            ("a-b".to_owned(), Kind::Session),
            (own("bus"), Kind::Session),
            ("x/bus".to_owned(), Kind::Session),
            (own("systemd/private"), Kind::Private),
            ("x/systemd/private".to_owned(), Kind::Private),
        ] {
            let path = run.socket(&path);
            assert_eq!(found(), Bus { path, kind });
        }
    }

    #[test]
    fn root_has_the_machines_manager_and_no_other() {
        let run = Run::new("root");
        run.socket("user/0/bus");
        let address = Some(format!("unix:path={}", run.socket("bus").display()).into());
        let places = Places { address, ..run.places() };
        let advice = find(&made_up::root(), &places).unwrap_err();
        assert!(advice.hint.contains("/run/systemd/private"), "{}", advice.hint);
        if nix::unistd::getuid().is_root() {
            for (path, kind) in
                [("dbus/system_bus_socket", Kind::System), ("systemd/private", Kind::Private)]
            {
                let path = run.socket(path);
                assert_eq!(find(&made_up::root(), &places).unwrap(), Bus { path, kind });
            }
        }
    }

    #[test]
    fn without_systemd_nothing_is_looked_for() {
        let run = Run::new("other");
        run.socket(&own("bus"));
        std::fs::remove_dir(run.0.join("systemd/system")).unwrap();
        let advice = find(&caller(), &run.places()).unwrap_err();
        assert!(advice.cause.contains("systemd does not run this machine"), "{}", advice.cause);
        assert!(advice.hint.contains("--cgroup-parent"), "{}", advice.hint);
    }

    #[test]
    fn without_a_session_the_hint_opens_one() {
        let run = Run::new("none");
        let places = Places { address: Some("tcp:host=127.0.0.1".into()), ..run.places() };
        let advice = find(&caller(), &places).unwrap_err();
        assert!(advice.cause.contains("no session is open"), "{}", advice.cause);
        let linger = format!("loginctl enable-linger {}", caller().uid);
        assert!(advice.hint.contains(&linger), "{}", advice.hint);
    }

    #[test]
    fn what_belongs_to_others_is_refused_and_said() {
        let run = Run::new("owner");
        let path = run.socket(&own("bus"));
        // Whoever runs this test, the socket is not the one's of this caller.
        let stranger = Caller { uid: 4_000_000, ..made_up::user() };
        let places = Places { runtime_dir: path.parent().map(Into::into), ..run.places() };
        if nix::unistd::getuid().is_root() {
            let nobody = Some(nix::unistd::Uid::from_raw(65_534));
            nix::unistd::chown(&path, nobody, None).unwrap();
        }
        let advice = find(&stranger, &places).unwrap_err();
        assert!(advice.cause.contains("and you are uid 4000000"), "{}", advice.cause);
        run.socket("user/4000000/systemd/private");
        let own = find(&stranger, &places);
        assert_eq!(own.is_ok(), nix::unistd::getuid().is_root(), "{own:?}");
    }

    #[test]
    fn neither_a_file_nor_a_link_is_a_socket() {
        let run = Run::new("file");
        let path = run.0.join(own("bus"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        let cause = || find(&caller(), &run.places()).unwrap_err().cause;
        assert!(cause().ends_with("is not a socket"), "{}", cause());
        std::fs::remove_file(&path).unwrap();
        symlink(run.socket("real"), &path).unwrap();
        assert!(cause().ends_with("is not a socket"), "{}", cause());
    }

    #[test]
    fn addresses_are_read_as_the_specification_writes_them() {
        let path = |text: &str| socket_of(text.into()).map(|path| path.display().to_string());
        assert_eq!(path("unix:path=/a/b,guid=1").as_deref(), Some("/a/b"));
        assert_eq!(path("unix:path=/a%20b").as_deref(), Some("/a b"));
        for none in
            ["", "unix:path=a", "unix:abstract=/a", "unix:path=/a%2", "unix:path=/%é", "path=/a"]
        {
            assert_eq!(path(none), None, "{none}");
        }
    }
}
