//! What is made, found and removed, and what stays.

use super::*;
use crate::error::report;
use crate::state::boot;

fn bundles(name: &str) -> (PathBuf, Bundles) {
    let path = std::env::temp_dir().join(format!("sublet-{name}-{}", std::process::id()));
    let bundles = Bundles::open(Some(&path)).unwrap();
    (path, bundles)
}

fn bundle(id: &ContainerId) -> Bundle {
    let payload = Identity::of(nix::unistd::getpid(), &boot().unwrap()).unwrap();
    Bundle::new(id.clone(), ("/b".into(), "/b/rootfs".into()), payload, Oci::default())
}

#[test]
fn what_was_made_is_found_until_it_is_removed() {
    let (path, bundles) = bundles("bundles");
    let id: ContainerId = "web".parse().unwrap();
    assert!(bundles.seek(&id).unwrap().is_none());
    let claim = bundles.claim(&id).unwrap();
    assert!(bundles.seek(&id).unwrap().is_none(), "it is only being made");
    assert!(bundles.claim(&id).is_err(), "by somebody else");
    claim.record(&bundle(&id)).unwrap();
    claim.keep();
    assert_eq!(bundles.seek(&id).unwrap().unwrap().bundle.directory, Path::new("/b"));
    assert!(bundles.claim(&id).is_err(), "it is there");
    assert_eq!(bundles.ids().unwrap(), std::slice::from_ref(&id));
    let found = bundles.seek(&id).unwrap().unwrap();
    bundles.remove(&id, &found).unwrap();
    bundles.remove(&id, &found).unwrap();
    bundles.remove_leftover(&id).unwrap();
    assert!(bundles.seek(&id).unwrap().is_none());
    std::fs::remove_dir(&path).unwrap();
}

#[test]
fn what_was_not_kept_has_never_been() {
    let (path, bundles) = bundles("claims");
    let id: ContainerId = "web".parse().unwrap();
    let claim = bundles.claim(&id).unwrap();
    claim.record(&bundle(&id)).unwrap();
    drop(claim);
    assert!(bundles.seek(&id).unwrap().is_none());
    // What a killed create leaves, and a killed remove.
    std::fs::create_dir(path.join("web")).unwrap();
    std::fs::write(path.join("web/record.other"), "{").unwrap();
    std::fs::create_dir(path.join(".dead-old")).unwrap();
    std::fs::write(path.join(".dead-old/record.json"), "{}").unwrap();
    drop(bundles.claim(&id).unwrap());
    assert_eq!(bundles.ids().unwrap().len(), 0);
    std::fs::remove_dir(&path).unwrap();
}

#[test]
fn a_record_that_nobody_can_read_is_an_error() {
    let (path, bundles) = bundles("records");
    let id: ContainerId = "web".parse().unwrap();
    for text in ["", "{}", "[1]", "{\"version\": 2}"] {
        std::fs::create_dir(path.join("web")).unwrap();
        std::fs::write(path.join("web/record.json"), text).unwrap();
        assert!(bundles.seek(&id).is_err(), "{text:?} was taken");
        assert!(bundles.claim(&id).is_err());
        let why = bundles.seek(&id).unwrap_err();
        let told = report(&bundles.remove_unreadable(&id, why).unwrap_err());
        assert!(told.contains("may run") && told.contains("end its processes"), "{told}");
        std::fs::remove_dir_all(path.join("web")).unwrap();
    }
    std::fs::remove_dir(&path).unwrap();
}

/// A later version's, of which we know at least whether it runs.
#[test]
fn what_nobody_can_read_is_removed_once_it_is_over() {
    let (path, bundles) = bundles("later");
    let id: ContainerId = "web".parse().unwrap();
    let mut payload = Identity::of(nix::unistd::getpid(), &boot().unwrap()).unwrap();
    std::fs::create_dir(path.join("web")).unwrap();
    let write = |payload: &Identity| {
        let record = serde_json::json!({"version": 2, "payload": payload}).to_string();
        std::fs::write(path.join("web/record.json"), record).unwrap();
    };
    let remove = || bundles.remove_unreadable(&id, bundles.seek(&id).unwrap_err());
    write(&payload);
    remove().unwrap_err();
    assert!(path.join("web/record.json").exists());
    payload.start += 1;
    write(&payload);
    remove().unwrap();
    std::fs::remove_dir(&path).unwrap();
}

/// As in the caller's home, if that is the place.
#[test]
fn what_others_have_there_stays() {
    let (path, bundles) = bundles("foreign");
    let mut kept = Vec::new();
    for (name, file) in
        [("web", "notes"), (".dead-web", "x"), ("dir", "doorstep/x"), ("mix", "record.other/x")]
    {
        let file = path.join(name).join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "text").unwrap();
        kept.push(file);
    }
    kept.push(path.join("file"));
    std::fs::write(path.join("file"), "text").unwrap();
    std::os::unix::fs::symlink("web", path.join("link")).unwrap();
    for name in ["web", "dir", "mix", "file", "link"] {
        let id = name.parse().unwrap();
        let told = report(&bundles.claim(&id).unwrap_err());
        assert!(told.contains("exists and is not sublet-oci's"), "{told}");
        let told = report(&bundles.remove_leftover(&id).unwrap_err());
        assert!(told.contains("exists and is not sublet-oci's"), "{told}");
    }
    // Beside the record of one of ours.
    let id: ContainerId = "ours".parse().unwrap();
    let claim = bundles.claim(&id).unwrap();
    claim.record(&bundle(&id)).unwrap();
    claim.keep();
    kept.push(path.join("ours/more"));
    std::fs::write(path.join("ours/more"), "text").unwrap();
    let found = bundles.seek(&id).unwrap().unwrap();
    let told = report(&bundles.remove(&id, &found).unwrap_err());
    assert!(told.contains("more"), "{told}");
    assert_eq!(
        bundles.ids().unwrap(),
        ["dir", "file", "link", "mix", "ours", "web"].map(|id| { id.parse().unwrap() })
    );
    for file in kept {
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "text", "{}", file.display());
    }
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn nobody_removes_what_is_another_creates() {
    let (path, bundles) = bundles("racing");
    let id: ContainerId = "web".parse().unwrap();
    let claim = bundles.claim(&id).unwrap();
    let told = report(&bundles.remove_leftover(&id).unwrap_err());
    assert!(told.contains("is being made"), "{told}");
    assert!(path.join("web").exists());
    // It is no longer called so, and what is, is another's.
    std::fs::rename(path.join("web"), path.join(".dead-web")).unwrap();
    let other = bundles.claim(&id).unwrap();
    other.record(&bundle(&id)).unwrap();
    other.keep();
    drop(claim);
    let found = bundles.seek(&id).unwrap().expect("the other's");
    bundles.remove(&id, &found).unwrap();
    std::fs::remove_dir(&path).unwrap();
}
