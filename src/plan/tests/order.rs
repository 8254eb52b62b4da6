//! What must hold of the order of steps, whatever was asked for.

use std::collections::BTreeMap;
use std::ffi::CString;

use nix::libc;

use super::CASES;
use crate::plan::network::Network;
use crate::plan::step::{Expect, Gate, Missing, Slot, Step, Target};
use crate::plan::{First, Memory, Plan};
use crate::spec::Lifetime;
use crate::sys::mount::Reach;

/// Runs a check on every plan.
fn always(check: impl Fn(&str, &Plan)) {
    for case in CASES {
        check(case.name, &case.plan());
    }
}

/// Where the steps are that are meant.
fn places(plan: &Plan, meant: impl Fn(&Step) -> bool) -> Vec<usize> {
    let steps = plan.steps.iter().enumerate();
    steps.filter(|(_, step)| meant(step)).map(|(at, _)| at).collect()
}

/// Where the one step is that is meant.
#[track_caller]
fn place(name: &str, plan: &Plan, meant: impl Fn(&Step) -> bool) -> usize {
    let places = places(plan, meant);
    assert_eq!(places.len(), 1, "{name}: {places:?} in\n{plan}");
    places[0]
}

/// Nothing that is meant comes before, or after, that place.
#[track_caller]
fn none(name: &str, plan: &Plan, range: std::ops::Range<usize>, meant: impl Fn(&Step) -> bool) {
    let found: Vec<String> =
        plan.steps[range].iter().filter(|step| meant(step)).map(ToString::to_string).collect();
    assert!(found.is_empty(), "{name}: {found:?} in\n{plan}");
}

fn is_become(step: &Step) -> bool {
    matches!(step, Step::Become { .. })
}

fn is_pivot(step: &Step) -> bool {
    matches!(step, Step::Pivot(_))
}

fn is_identity(step: &Step) -> bool {
    matches!(step, Step::Identity { .. })
}

fn is_filter(step: &Step) -> bool {
    matches!(step, Step::Seccomp { .. })
}

/// Changes what is mounted where.
fn mounts(step: &Step) -> bool {
    matches!(
        step,
        Step::OpenTree { .. }
            | Step::CopyTree { .. }
            | Step::NewFilesystem { .. }
            | Step::SetAttr { .. }
            | Step::ProtectBelow { .. }
            | Step::Attach { .. }
            | Step::OpenTerminal { .. }
            | Step::Mask { .. }
            | Step::Protect { .. }
    )
}

/// Makes files, which then belong to whom the child is.
fn makes_files(step: &Step) -> bool {
    match step {
        Step::MakeDirectory { .. }
        | Step::MakeLike { .. }
        | Step::MakeFile { .. }
        | Step::MakeLink { .. }
        | Step::OpenNotify { .. }
        | Step::OpenTerminal { .. } => true,
        Step::Attach { target: Target::Path(_), missing, .. } => *missing != Missing::Skip,
        // What has a root directory that belongs to whoever makes it. The
        // others show what is there already.
        Step::NewFilesystem { kind, .. } => {
            !matches!(kind.to_bytes(), b"proc" | b"sysfs" | b"cgroup2")
        }
        _ => false,
    }
}

/// The slots that a step takes from, and the one that it fills.
pub(super) fn slots(step: &Step) -> (Vec<Slot>, Option<Slot>) {
    match step {
        Step::OpenTree { into, .. }
        | Step::OpenSpot { into, .. }
        | Step::NewFilesystem { into, .. }
        | Step::OpenPty { into, .. } => (vec![], Some(*into)),
        Step::Join { process, .. } => (vec![*process], None),
        Step::CopyTree { from, into, .. } => (vec![*from], Some(*into)),
        Step::MakeLike { at, like, .. } => (vec![*at, *like], None),
        // Targets inside are found from the container's root.
        Step::Mask { null, empty, .. } => (vec![Slot::ROOT, *null, *empty], None),
        Step::Protect { .. } => (vec![Slot::ROOT], None),
        Step::CopyUp { tree, .. } => (vec![*tree, Slot::ROOT], None),
        Step::Attach { tree, target: Target::Root | Target::Aside, .. } => (vec![*tree], None),
        Step::Attach { tree, target: Target::Spot(spot), .. } => (vec![*tree, *spot], None),
        Step::Attach { tree, target: Target::Path(_), .. } => (vec![*tree, Slot::ROOT], None),
        Step::Attach { tree, target: Target::Inside(at, _), .. } => (vec![*tree, *at], None),
        Step::OpenTerminal { dev, pts, into, .. } => (vec![*dev, *pts], Some(*into)),
        Step::SetAttr { tree: slot, .. }
        | Step::ProtectBelow { tree: slot, .. }
        | Step::Enter(slot)
        | Step::MakeDirectory { at: slot, .. }
        | Step::MakeFile { at: slot, .. }
        | Step::MakeLink { at: slot, .. }
        | Step::WriteProc { proc: slot, .. }
        | Step::TakeTerminal(slot)
        | Step::OpenNotify { dev: slot }
        | Step::Pivot(slot) => (vec![*slot], None),
        Step::Pass(_)
        | Step::Mark(_)
        | Step::Propagation(_)
        | Step::Hostname(_)
        | Step::Domainname(_)
        | Step::JoinNetwork
        | Step::UnshareCgroup
        | Step::NewClocks { .. }
        | Step::JoinClocks { .. }
        | Step::RunOn(_)
        | Step::MemoryPolicy { .. }
        | Step::Limit { .. }
        | Step::Become { .. }
        | Step::WorkDirectory(_)
        | Step::Umask(_)
        | Step::Personality { .. }
        | Step::Schedule { .. }
        | Step::DiskPriority { .. }
        | Step::Identity { .. }
        | Step::NoNewPrivileges
        | Step::Seccomp { .. }
        | Step::Reaper
        | Step::HideMemory
        | Step::LetGo(_)
        | Step::Born
        | Step::NewSession
        | Step::NullInput
        | Step::NullOutput
        | Step::DieWithParent
        | Step::CloseFrom(_)
        | Step::ResetSignals
        | Step::Meet(_)
        | Step::Hook(_)
        | Step::Find { .. }
        | Step::AwaitStart { .. }
        | Step::Exec { .. } => (vec![], None),
    }
}

#[test]
fn the_last_step_is_the_exec() {
    always(|name, plan| {
        let exec = place(name, plan, |step| matches!(step, Step::Exec { .. }));
        assert_eq!(exec + 1, plan.steps.len(), "{name}");
    });
}

#[test]
fn a_slot_is_filled_before_it_is_used() {
    always(|name, plan| {
        let mut filled = vec![false; plan.slots];
        for step in &plan.steps {
            let (used, into) = slots(step);
            for Slot(slot) in used {
                assert!(filled[slot], "{name}: {step} takes from slot {slot} in\n{plan}");
            }
            if let Some(Slot(slot)) = into {
                filled[slot] = true;
            }
        }
    });
}

/// Before the maps are written no id of the child is mapped: what it makes
/// would belong to nobody, and the kernel refuses (EOVERFLOW).
#[test]
fn files_are_made_by_a_mapped_user() {
    always(|name, plan| {
        let gate = place(name, plan, |step| matches!(step, Step::Pass(Gate::Mapped)));
        let setup = place(name, plan, is_become);
        assert!(gate < setup, "{name}");
        none(name, plan, 0..setup, makes_files);
    });
}

/// A cgroup namespace has the group as its root that its maker is in, and a
/// cgroup tree that of the namespace: first the group, then the one, then the
/// other. And whoever has a group of its own must be in it before it gives
/// away the rights that all this takes, and before the filter.
#[test]
fn the_control_group_comes_before_its_namespace() {
    always(|name, plan| {
        let gate = places(plan, |step| matches!(step, Step::Pass(Gate::Placed)));
        let unshare = places(plan, |step| matches!(step, Step::UnshareCgroup));
        assert_eq!(gate.len(), usize::from(plan.outline.cgroup.is_own()), "{name}");
        let Some(gate) = gate.first() else {
            assert!(unshare.is_empty(), "{name}");
            return;
        };
        let new = libc::CLONE_NEWCGROUP as u64;
        assert_eq!(plan.outline.namespaces.flags() & new, 0, "{name}");
        assert_eq!(unshare.len(), usize::from(plan.outline.namespaces.own_cgroup()), "{name}");
        if let Some(unshare) = unshare.first() {
            assert_eq!(gate + 1, *unshare, "{name}");
            none(name, plan, 0..*unshare, is_cgroup_tree);
        }
        assert!(place(name, plan, is_become) < *gate, "{name}");
        let filters = places(plan, is_filter);
        assert!(filters.iter().all(|filter| gate < filter), "{name}");
        assert!(*gate < place(name, plan, is_identity), "{name}");
    });
}

fn is_cgroup_tree(step: &Step) -> bool {
    matches!(step, Step::NewFilesystem { kind, .. } if kind.as_bytes() == b"cgroup2")
}

/// The permissions of what is made are the plan's, not left to the umask that
/// the caller happens to have.
#[test]
fn files_are_made_without_a_umask() {
    always(|name, plan| {
        let masks = places(plan, |step| matches!(step, Step::Umask(_)));
        assert_eq!(masks.len(), 2, "{name}: one for the set-up, one for the payload");
        assert!(matches!(plan.steps[masks[0]], Step::Umask(0)), "{name}");
        none(name, plan, 0..masks[0], makes_files);
        none(name, plan, masks[1]..plan.steps.len(), makes_files);
    });
}

/// Before the pivot nobody inside can be there, and after it the host's files
/// are out of reach: all that is mounted is mounted in between.
#[test]
fn nothing_is_mounted_after_the_pivot() {
    // Who hears of what the container mounts, and no more.
    let shares =
        |step: &Step| matches!(step, Step::SetAttr { attr, .. } if attr.set | attr.clear == 0);
    always(|name, plan| {
        let pivot = place(name, plan, is_pivot);
        none(name, plan, pivot..plan.steps.len(), |step| mounts(step) && !shares(step));
        none(name, plan, pivot..plan.steps.len(), |step| matches!(step, Step::MakeFile { .. }));
    });
}

/// A working directory from before the pivot would be a way out of it.
#[test]
fn the_working_directory_is_inside() {
    always(|name, plan| {
        let pivot = place(name, plan, is_pivot);
        let directory = place(name, plan, |step| matches!(step, Step::WorkDirectory(_)));
        assert!(pivot < directory, "{name}");
        none(name, plan, directory..plan.steps.len(), |step| matches!(step, Step::Enter(_)));
    });
}

/// What hides and protects comes after all that could cover or lift it: all but
/// what is mounted below /sys, where a link into /proc is not followed.
#[test]
fn nothing_is_mounted_over_a_mask() {
    let below_sys = |path: &CString| path.to_bytes().starts_with(b"/sys");
    always(|name, plan| {
        let hides = |step: &Step| match step {
            Step::Mask { path, .. } | Step::Protect { path } => Some(below_sys(path)),
            _ => None,
        };
        let mounts = |step: &Step| match step {
            Step::Attach { target: Target::Path(path), .. } => Some(below_sys(path)),
            Step::Attach { .. } | Step::OpenTerminal { .. } => Some(false),
            _ => None,
        };
        for below_sys in [false, true] {
            let hidden = places(plan, |step| hides(step) == Some(below_sys));
            let Some(first) = hidden.first() else { continue };
            none(name, plan, *first..plan.steps.len(), |step| mounts(step) == Some(below_sys));
        }
    });
}

/// Nobody would end it otherwise, were the launcher killed; and who makes the
/// network namespace is of the same user namespace.
#[test]
fn the_payload_waits_until_it_is_guarded() {
    always(|name, plan| {
        let gate = place(name, plan, |step| matches!(step, Step::Pass(Gate::Guarded)));
        let filter = places(plan, |step| matches!(step, Step::Seccomp { .. }));
        assert!(filter.iter().all(|filter| gate < *filter), "{name}");
        none(name, plan, 0..gate, |step| matches!(step, Step::Exec { .. }));
    });
}

/// A payload that is connected too early finds no network, and one whose gate
/// is not the last it waits for is kept waiting after it.
#[test]
fn the_payload_waits_until_its_network_reaches_out() {
    always(|name, plan| {
        let gates = places(plan, |step| matches!(step, Step::Pass(Gate::Connected)));
        let helped = matches!(plan.network, Network::Helped(_));
        assert_eq!(gates.len(), usize::from(helped), "{name}");
        let identity = place(name, plan, is_identity);
        for gate in gates {
            assert!(gate < identity, "{name}");
            none(name, plan, gate..identity, |step| mounts(step) || makes_files(step));
        }
    });
}

/// A sysfs shows the network namespace of who makes it.
#[test]
fn sysfs_is_made_in_the_new_network_namespace() {
    always(|name, plan| {
        let makes = |step: &Step| matches!(step, Step::NewFilesystem { kind, .. } if kind.as_bytes() == b"sysfs");
        let made = places(plan, makes);
        let joined = places(plan, |step| matches!(step, Step::JoinNetwork));
        assert_eq!(joined.len(), usize::from(plan.outline.namespaces.own_network()), "{name}");
        assert!(made.iter().all(|made| joined.iter().all(|joined| joined < made)), "{name}");
        let gate = places(plan, |step| matches!(step, Step::Pass(Gate::Network)));
        assert!(
            gate.len() == joined.len() && gate.iter().zip(&joined).all(|(a, b)| a < b),
            "{name}"
        );
    });
}

/// A hook of the host's sees all that is mounted, and still the host's files; one
/// of the container's may no more than the payload.
#[test]
fn hooks_run_at_their_places() {
    let hook = |field: &'static str| move |step: &Step| matches!(step, Step::Hook(hook) if hook.field == field);
    always(|name, plan| {
        for at in places(plan, hook("createContainer")) {
            let met = place(name, plan, |step| matches!(step, Step::Meet(Gate::Hooked)));
            let pivot = place(name, plan, is_pivot);
            assert!(met < at && at < pivot, "{name}");
            none(name, plan, at..pivot, |step| matches!(step, Step::Attach { .. }));
        }
        for at in places(plan, hook("startContainer")) {
            let started = place(name, plan, |step| matches!(step, Step::AwaitStart { .. }));
            assert!(place(name, plan, is_identity) < started && started < at, "{name}");
            let own = matches!(&plan.steps[at], Step::Hook(hook) if hook.filter.is_some());
            let loaded = places(plan, is_filter).iter().filter(|filter| **filter < at).count();
            let filters = places(plan, is_filter).len();
            assert_eq!(loaded + usize::from(own), filters, "{name}");
            none(name, plan, at..plan.steps.len(), |step| {
                !(hook("startContainer")(step)
                    || is_filter(step)
                    || matches!(step, Step::Exec { .. }))
            });
        }
    });
    let hooked = |field| CASES.iter().any(|case| !places(&case.plan(), hook(field)).is_empty());
    assert!(hooked("createContainer") && hooked("startContainer"));
}

/// The set-up needs the rights that the identity gives away.
#[test]
fn the_set_up_comes_before_the_identity() {
    always(|name, plan| {
        let identity = place(name, plan, is_identity);
        none(name, plan, identity..plan.steps.len(), |step| {
            mounts(step)
                || makes_files(step)
                || is_become(step)
                || is_pivot(step)
                || matches!(
                    step,
                    Step::Hostname(_)
                        | Step::Domainname(_)
                        | Step::JoinNetwork
                        | Step::UnshareCgroup
                        | Step::WriteProc { .. }
                        | Step::Pass(_)
                )
        });
    });
}

/// A change of identity takes the signal at the parent's death back
/// (prctl(2)), and so does a fork. Descriptors and signals are cleared when
/// no later step can open or set any.
#[test]
fn what_holds_for_the_payload_is_set_last() {
    always(|name, plan| {
        let mut after = place(name, plan, is_identity);
        after = after
            .max(places(plan, |step| matches!(step, Step::Reaper)).into_iter().max().unwrap_or(0));
        let dies = places(plan, |step| matches!(step, Step::DieWithParent));
        let expected = usize::from(plan.outline.lifetime == Lifetime::WithLauncher);
        assert_eq!(dies.len(), expected, "{name}");
        assert!(dies.iter().all(|dies| after < *dies), "{name}:\n{plan}");
        for meant in [
            (|step| matches!(step, Step::CloseFrom(_))) as fn(&Step) -> bool,
            |step| matches!(step, Step::ResetSignals),
            |step| matches!(step, Step::NewSession),
        ] {
            assert!(after < place(name, plan, meant), "{name}:\n{plan}");
        }
        let close = place(name, plan, |step| matches!(step, Step::CloseFrom(_)));
        none(name, plan, close..plan.steps.len(), |step| slots(step).1.is_some());
    });
}

/// A process that waits, with no launcher and for who knows how long, in
/// namespaces where there may be others: they must not be able to look into it,
/// and it does nothing afterwards but become the payload.
#[test]
fn who_waits_for_a_start_shows_and_holds_nothing() {
    always(|name, plan| {
        let waits = places(plan, |step| matches!(step, Step::AwaitStart { .. }));
        let hides = places(plan, |step| matches!(step, Step::HideMemory));
        let own = plan.outline.lifetime == Lifetime::Own;
        // Once more with the payload's ids.
        assert_eq!((waits.len(), hides.len()), (own.into(), 2 * usize::from(own)), "{name}");
        for (waits, hides) in waits.into_iter().zip(hides) {
            none(name, plan, 0..hides, |step| matches!(step, Step::Attach { .. }));
            let met = |step: &Step| matches!(step, Step::Meet(Gate::Recorded));
            assert_eq!(place(name, plan, met) + 1, waits, "{name}");
            let found = place(name, plan, |step| matches!(step, Step::Find { .. }));
            assert!(place(name, plan, is_identity) < found && found < waits, "{name}");
            none(name, plan, waits + 1..plan.steps.len(), |step| {
                !matches!(step, Step::Hook(_) | Step::Seccomp { .. } | Step::Exec { .. })
            });
            assert_eq!(plan.outline.memory, Memory::Copied, "{name}");
        }
    });
}

/// With few descriptors or processes allowed the set-up could not be done.
#[test]
fn limits_are_the_payloads_alone() {
    always(|name, plan| {
        let first = places(plan, |step| matches!(step, Step::Limit { .. }))[0];
        none(name, plan, first..plan.steps.len(), |step| {
            matches!(step, Step::Reaper) || slots(step).1.is_some()
        });
    });
}

/// A reaper stays as long as the container, the launcher's memory does not; and
/// an oom_score_adj is that of all processes with the same memory, which are
/// killed together where one of them has used up that of its control group.
#[test]
fn memory_is_shared_by_what_leaves_it_and_changes_nothing_of_it() {
    always(|name, plan| {
        let stays = !places(plan, |step| matches!(step, Step::Reaper)).is_empty();
        let adjusts = !places(plan, |step| matches!(step, Step::WriteProc { .. })).is_empty();
        assert_eq!(stays, plan.outline.first == First::Reaper, "{name}");
        let own_life = plan.outline.lifetime == Lifetime::Own;
        let copied = stays || adjusts || own_life || plan.outline.cgroup.is_own();
        assert_eq!(copied, plan.outline.memory == Memory::Copied, "{name}");
    });
}

/// Only the leader of a new session can take a terminal as its own.
#[test]
fn a_terminal_is_taken_by_a_session_of_its_own() {
    always(|name, plan| {
        let session = place(name, plan, |step| matches!(step, Step::NewSession));
        none(name, plan, 0..session, |step| matches!(step, Step::TakeTerminal(_)));
        let taken = places(plan, |step| matches!(step, Step::TakeTerminal(_)));
        let null = places(plan, |step| matches!(step, Step::NullInput));
        assert!(taken.is_empty() || null.is_empty(), "{name}");
    });
}

/// With no_new_privs anybody may load a filter, so it is the last thing and
/// nothing of ours has to pass it. Without, it takes rights that the identity
/// gives away (seccomp(2)).
#[test]
fn the_filter_is_loaded_while_that_is_allowed() {
    always(|name, plan| {
        let filters = places(plan, is_filter);
        assert!(filters.len() == usize::from(name != "unconfined"), "{name}");
        let Some(filter) = filters.first() else { return };
        let identity = place(name, plan, is_identity);
        match places(plan, |step| matches!(step, Step::NoNewPrivileges)).first() {
            Some(no_new_privileges) => {
                assert!(no_new_privileges < filter && identity < *no_new_privileges, "{name}");
                none(name, plan, filter + 1..plan.steps.len(), |step| {
                    !matches!(step, Step::Mark(_) | Step::Exec { .. })
                });
            }
            None => assert!(*filter < identity, "{name}"),
        }
    });
}

/// Mounts pass between the host and the container only where a volume was
/// asked to follow the host, and then into the container only.
#[test]
fn every_tree_of_the_hosts_is_cut_off() {
    always(|name, plan| {
        let whole = place(name, plan, |step| matches!(step, Step::Propagation(_)));
        none(name, plan, 0..whole, mounts);
        let Step::Propagation(kind) = plan.steps[whole] else { unreachable!() };
        assert!(matches!(kind, libc::MS_PRIVATE | libc::MS_SLAVE), "{name}");
        let mut open = BTreeMap::new();
        for step in &plan.steps {
            match step {
                // Nothing can be mounted below a device node.
                Step::OpenTree { expect: Expect::Device { .. }, .. } => {}
                Step::OpenTree { into, source, .. } => {
                    open.insert(into.0, (source, kind));
                }
                Step::SetAttr { tree, attr, reach: Reach::Tree, .. } if attr.propagation != 0 => {
                    open.entry(tree.0).and_modify(|(_, kind)| *kind = attr.propagation);
                }
                // A copy of the layers is what an overlay shows, and a copy
                // is private (fs/overlayfs, clone_private_mount).
                Step::Attach { target: Target::Inside(..), .. } => {}
                Step::Attach { tree, .. } => {
                    let Some((source, kind)) = open.get(&tree.0) else { continue };
                    // The latter by name, and by linux.rootfsPropagation.
                    let asked = matches!(
                        source.to_bytes(),
                        b"/srv/followed"
                            | b"/media"
                            | b"/nonexistent/data"
                            | b"/nonexistent/rootfs"
                    );
                    let expected = if asked { libc::MS_SLAVE } else { libc::MS_PRIVATE };
                    assert_eq!(*kind, expected, "{name}: {step} in\n{plan}");
                }
                Step::NewFilesystem { into, .. } => {
                    open.remove(&into.0);
                }
                _ => {}
            }
        }
    });
}
