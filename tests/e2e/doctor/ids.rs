//! What keeps a container from having a range of ids, beside what `doctor`
//! itself takes away.

use std::os::unix::fs::{PermissionsExt, chown};

use super::*;

/// newuidmap serves nobody whose ids differ, and the kernel gives a program with
/// such a bit a /proc of root's: its child can't be mapped at all.
#[test]
fn a_set_group_id_bit_is_told() {
    requires!(ordinary_user, supplementary_group);
    let (_, own) = caller();
    let groups = nix::unistd::getgroups().expect("groups");
    let other = groups.iter().map(|group| group.as_raw()).find(|group| *group != own);
    let scratch = Scratch::new();
    let program = scratch.join("sublet");
    spawn::place(|| std::fs::copy(launcher(), &program));
    chown(&program, None, other).expect("give it to the group");
    let mode = std::fs::Permissions::from_mode(0o2755);
    std::fs::set_permissions(&program, mode).expect("set the bit");
    let script = format!(r#"shift; exec {} "$@""#, program.display());
    let breaks = |program: Program| program.inside(&script);
    unusable(&breaks, "single-id", "map-denied");
    let (_, report) = doctor(&scratch, &breaks);
    let row = row(&report, "id-range", "caller-set-id");
    says(&breaks(Program::run_in(&scratch).args(["host", "true"])).run().stderr, row);
}

mod as_root {
    use super::*;
    use crate::doctor::as_root::{as_user, changed};

    fn newuidmap() -> String {
        need::find("newuidmap").expect("newuidmap").display().to_string()
    }

    /// getsubids asks a module, and newuidmap finds none and reads the files.
    #[test]
    fn a_helper_that_knows_other_ranges_is_told() {
        requires!(root, newuidmap);
        let Some(ask) = need::find("getsubids") else {
            return need::skip("getsubids", "getsubids is not installed");
        };
        let ranges = format!("0: {USER} 900000 65536");
        let asked = format!("printf '#!/bin/sh\\necho \"{ranges}\"\\n' >$d/f");
        let script = changed("/etc/nsswitch.conf", "echo 'subid: nowhere' >$d/f")
            + "; "
            + &changed(&ask.display().to_string(), &asked);
        let breaks = |program: Program| as_user(program, &script, "");
        unusable(&breaks, "id-range", "range-unknown-to-helper");
    }

    /// A library that it needs is no library.
    #[test]
    fn a_helper_that_fails_is_told() {
        requires!(root, newuidmap);
        let script = format!(
            r#"libraries() {{ ldd "$1" | sed -n 's/.*=> \(.*\) (.*/\1/p'; }}
               others=$(libraries $(command -v setpriv))
               for it in $(libraries {}); do
                   case $others in *$it*) continue;; esac
                   mount --bind /etc/passwd $it; break
               done"#,
            newuidmap()
        );
        let breaks = |program: Program| as_user(program, &script, "");
        unusable(&breaks, "id-range", "idmap-helper-failed");
    }

    /// In its own words, as in a /proc without owners: no /proc that shows the
    /// caller its ids is one.
    #[test]
    fn a_helper_that_sees_no_owner_is_told() {
        requires!(root, newuidmap);
        let words = "newuidmap: Target process 7 is owned by a different user";
        let change = format!("printf '#!/bin/sh\\necho \"{words}\" >&2; exit 1\\n' >$d/f");
        let script = changed(&newuidmap(), &(change + "; chmod 4755 $d/f"));
        let breaks = |program: Program| as_user(program, &script, "");
        unusable(&breaks, "id-range", "idmap-helper-sees-nobody");
    }
}
