//! A tmpfs behind the root, for what the container is shown piece by piece.
//!
//! The files of /etc, the empty directory and the null device that hide
//! things, the layers of throw-away overlays: all lie here. It is mounted below
//! the host's root, in the container's own mount namespace, and goes with that
//! root at the pivot; what was copied out of it stays. Being in the container's own
//! mount namespace it leaves nothing behind, whatever kills us. And nothing
//! stays detached: to dissolve a detached mount when its descriptor is closed
//! the kernel waits for all its readers (`synchronize_rcu_expedited`), some
//! 0.15 ms each, and at exec that is time that the payload waits.

use super::attr::{NODEV, NOSUID};
use super::draft::{Draft, plain};
use super::step::{Missing, Slot, Step, Target};

/// The workshop of one plan.
#[derive(Clone, Copy, Debug)]
pub struct Workshop(Slot);

impl Workshop {
    /// Opens it: before the root is put in place, which covers it; at the `spot`
    /// where that will be, if it is not out of everybody's way.
    pub fn open(spot: Option<Slot>, draft: &mut Draft) -> Self {
        let tmpfs = draft.filesystem("tmpfs", &[("mode", Some("0755"))], NOSUID | NODEV);
        draft.push(Step::Attach {
            tree: tmpfs,
            what: "a workshop".to_owned(),
            target: spot.map_or(Target::Aside, Target::Spot),
            missing: Missing::Create,
        });
        Self(tmpfs)
    }

    /// Where it is kept.
    pub fn slot(self) -> Slot {
        self.0
    }

    /// Makes a directory in it.
    pub fn directory(self, name: &str, mode: u32, draft: &mut Draft) {
        draft.push(Step::MakeDirectory { at: self.0, name: plain(name), mode });
    }

    /// Makes a file in it.
    pub fn file(self, name: &str, content: Vec<u8>, draft: &mut Draft) {
        draft.push(Step::MakeFile { at: self.0, name: plain(name), content, mode: 0o644 });
    }

    /// A copy of what is at `name`, as a mount of its own.
    pub fn copy(self, name: &str, draft: &mut Draft) -> Slot {
        let into = draft.slot();
        draft.push(Step::CopyTree { from: self.0, name: plain(name), into });
        into
    }

    /// Attaches a mount to `name` in it.
    pub fn attach(self, tree: Slot, what: &str, name: &str, draft: &mut Draft) {
        draft.push(Step::Attach {
            tree,
            what: what.to_owned(),
            target: Target::Inside(self.0, plain(name)),
            missing: Missing::Create,
        });
    }
}
