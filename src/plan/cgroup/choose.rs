//! Who makes the control group, and where.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::place::Place;
use super::{Manager, lack};
use crate::host::Host;
use crate::host::advice::Advice;
use crate::host::cgroup::{Cgroups as Facts, Controller, Version};
use crate::spec::Spec;
use crate::spec::resources::control::{Cgroups, Parent};
use crate::state;

/// The place, or why there is none. A group of our own comes first, since
/// nobody has to be asked for it, but not if systemd alone has all that is
/// needed.
///
/// # Errors
/// What is asked for and contradicts itself.
pub fn place(spec: &Spec, needs: &[Controller], host: &Host) -> Found {
    let version = host.cgroups()?.version;
    let found = find(spec, needs, host)?;
    // A group would be of no use for them.
    let vain = version == Version::Bare && !needs.is_empty();
    Ok(found.map_err(|advice| if vain { lack::no_hierarchy(version) } else { advice }))
}

fn find(spec: &Spec, needs: &[Controller], host: &Host) -> Found {
    let control = &spec.beside.control;
    let name = control.engine.clone().unwrap_or_else(|| format!("sublet-{}", spec.beside.id));
    match (control.cgroups, &control.parent) {
        (Cgroups::Systemd, Some(Parent::Path(path))) => {
            bail!("--cgroups systemd takes a slice as --cgroup-parent, and not {}", path.display())
        }
        (Cgroups::Direct, Some(Parent::Slice(slice))) => {
            bail!("--cgroups direct takes a path as --cgroup-parent, and not {slice}")
        }
        (Cgroups::Systemd, Some(Parent::Below(_))) => bail!("systemd takes the name of a slice"),
        (_, Some(Parent::Path(path))) if control.engine.is_some() => under(path, name, host),
        (_, Some(Parent::Path(path))) => below(path, name, host),
        (_, Some(Parent::Below(path))) => Ok(split(name, host)?.map(|ours| ours.further(path))),
        (_, Some(Parent::Slice(slice))) => scope(name, Some(slice.clone()), host),
        (Cgroups::Systemd, None) => scope(name, None, host),
        (Cgroups::Direct, None) => split(name, host),
        (Cgroups::Auto | Cgroups::Require | Cgroups::Disabled, None) => {
            match split(name.clone(), host)? {
                Ok(place) if place.has(needs) => Ok(Ok(place)),
                Ok(place) => {
                    let better = scope(name, None, host)?.ok().filter(|it| it.has(needs));
                    Ok(Ok(better.unwrap_or(place)))
                }
                Err(_) => scope(name, None, host),
            }
        }
    }
}

/// The place that a container of ours is in already.
pub fn again(place: &state::Place, host: &Host) -> Found {
    if let Some(unit) = &place.unit {
        return scope(unit.strip_suffix(".scope").unwrap_or(unit).to_owned(), None, host);
    }
    let parent = place.cgroup.parent().unwrap_or(&place.cgroup).to_owned();
    let name = place.cgroup.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Ok(Place {
        controllers: Controller::list(&host.files().text(&parent.join(LIST))),
        directory: parent.clone(),
        manager: Manager::Direct { parent, name },
    }))
}

/// A place, or why there is none; an error where /proc is not mounted.
type Found = anyhow::Result<Result<Place, Advice>>;

/// The group that we are in, split.
pub fn split(name: String, host: &Host) -> Found {
    let cgroups = host.cgroups()?;
    if let Err(advice) = hierarchy(cgroups) {
        return Ok(Err(advice));
    }
    let Some(ours) = &cgroups.ours else { return Ok(Err(lack::not_ours(cgroups))) };
    Ok(Ok(Place {
        manager: Manager::Direct { parent: ours.clone(), name },
        controllers: cgroups.controllers.clone(),
        directory: ours.clone(),
    }))
}

/// A group that the user named.
fn below(path: &Path, name: String, host: &Host) -> Found {
    let mount = match hierarchy(host.cgroups()?) {
        Ok(mount) => mount,
        Err(advice) => return Ok(Err(advice)),
    };
    let parent: PathBuf = mount.join(path.strip_prefix("/").unwrap_or(path)).components().collect();
    let list = parent.join(LIST);
    if !host.files().has(&list) {
        return Ok(Err(lack::not_there(&parent)));
    }
    Ok(Ok(Place {
        manager: Manager::Direct { parent: parent.clone(), name },
        controllers: Controller::list(&host.files().text(&list)),
        directory: parent,
    }))
}

/// A group that an engine named, which is made where it is not there.
fn under(path: &Path, name: String, host: &Host) -> Found {
    let mount = match hierarchy(host.cgroups()?) {
        Ok(mount) => mount,
        Err(advice) => return Ok(Err(advice)),
    };
    let root = Place {
        manager: Manager::Direct { parent: mount.to_owned(), name },
        controllers: Vec::new(),
        directory: mount.to_owned(),
    };
    let wanted = root.further(path.strip_prefix("/").unwrap_or(path));
    // Those above decide what there is to be had.
    let there = wanted.directory.ancestors().find(|path| host.files().has(&path.join(LIST)));
    let directory = there.unwrap_or(mount).to_owned();
    let controllers = Controller::list(&host.files().text(&directory.join(LIST)));
    Ok(Ok(Place { controllers, directory, ..wanted }))
}

/// A scope of the caller's systemd.
fn scope(name: String, slice: Option<String>, host: &Host) -> Found {
    let cgroups = host.cgroups()?;
    let mount = match hierarchy(cgroups) {
        Ok(mount) => mount,
        Err(advice) => return Ok(Err(advice)),
    };
    let bus = match host.bus()? {
        Ok(bus) => bus.clone(),
        Err(advice) => return Ok(Err(advice.clone())),
    };
    let manager = Manager::Systemd { bus, unit: format!("{name}.scope"), slice };
    // root's is the machine's own, which has all there is.
    // But an engine that an ordinary user has started is root in its namespace.
    let caller = host.caller()?;
    if caller.uid == 0 && (caller.uid_outside() == 0 || cgroups.session.is_none()) {
        let controllers = Controller::list(&host.files().text(&mount.join(LIST)));
        return Ok(Ok(Place { manager, controllers, directory: mount.to_owned() }));
    }
    let Some(session) = &cgroups.session else { return Ok(Err(lack::no_session())) };
    let controllers = cgroups.session_controllers.clone();
    Ok(Ok(Place { manager, controllers, directory: session.clone() }))
}

/// The file that lists the controllers in effect.
const LIST: &str = "cgroup.controllers";

/// Where cgroup v2 is, if groups are made there.
fn hierarchy(cgroups: &Facts) -> Result<&Path, Advice> {
    match (cgroups.version, &cgroups.mount) {
        (Version::V2 | Version::Bare, Some(mount)) => Ok(mount),
        (version, _) => Err(lack::no_hierarchy(version)),
    }
}
