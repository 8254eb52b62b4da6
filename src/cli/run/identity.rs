//! Who the container is, inside and outside.

use anyhow::ensure;
use clap::Args;
use oci_spec::runtime::LinuxIdMapping;

use super::typed;
use crate::spec::{GroupName, Spec, UserName, UserRequest, Userns, idmap};

#[derive(Debug, Args)]
#[command(next_help_heading = "Users and groups")]
pub struct IdentityArgs {
    /// Who runs it, from the root's own /etc/passwd
    #[arg(short, long, value_name = "NAME|UID[:GROUP|GID]", allow_negative_numbers = true)]
    user: Option<String>,

    /// A further group, or keep-groups for those you are in
    #[arg(long, value_name = "NAME|GID|keep-groups")]
    group_add: Vec<String>,

    /// How ids are mapped: auto, single, nomap, keep-id[:uid=N,gid=N]
    #[arg(long, value_name = "MODE", conflicts_with_all = ["uidmap", "gidmap"])]
    userns: Option<String>,

    /// A range of user ids, as many as wanted
    #[arg(long, value_name = "CONTAINER:HOST:SIZE")]
    uidmap: Vec<String>,

    /// A range of group ids [default: those of --uidmap]
    #[arg(long, value_name = "CONTAINER:HOST:SIZE")]
    gidmap: Vec<String>,
}

const KEEP_GROUPS: &str = "keep-groups";

impl IdentityArgs {
    pub fn enter(self, spec: &mut Spec) -> anyhow::Result<()> {
        if let Some(userns) = &self.userns {
            spec.beside.userns = typed("--userns", userns, str::parse)?;
        }
        self.map_ids(spec)?;
        if let Some(user) = &self.user {
            let request: UserRequest = typed("--user", user, str::parse)?;
            number(&request, spec);
            spec.beside.user = Some(request);
        }
        spec.beside.keep_groups = self.group_add.iter().any(|group| group == KEEP_GROUPS);
        ensure!(
            !spec.beside.keep_groups || self.group_add.len() == 1,
            "--group-add {KEEP_GROUPS} leaves the groups as they are: no other can be added"
        );
        for group in self.group_add.iter().filter(|group| *group != KEEP_GROUPS) {
            spec.beside.groups.push(typed("--group-add", group, str::parse)?);
        }
        Ok(())
    }

    /// One map stands for both where only one is given.
    fn map_ids(&self, spec: &mut Spec) -> anyhow::Result<()> {
        let read =
            |flag: &str, lines: &[String]| typed(flag, &lines.join(" "), |_| idmap::id_map(lines));
        let (uids, gids): (Vec<LinuxIdMapping>, _) = match (&self.uidmap[..], &self.gidmap[..]) {
            ([], []) => return Ok(()),
            (uids, []) => (read("--uidmap", uids)?, read("--uidmap", uids)?),
            ([], gids) => (read("--gidmap", gids)?, read("--gidmap", gids)?),
            (uids, gids) => (read("--uidmap", uids)?, read("--gidmap", gids)?),
        };
        spec.beside.userns = Userns::Custom;
        spec.linux_mut().set_uid_mappings(Some(uids)).set_gid_mappings(Some(gids));
        Ok(())
    }
}

/// What needs no look-up stands in `process.user` too, for those who read only
/// that.
fn number(request: &UserRequest, spec: &mut Spec) {
    let user = spec.process_mut().user_mut();
    if let UserName::Id(uid) = request.user {
        user.set_uid(uid);
    }
    if let Some(GroupName::Id(gid)) = request.group {
        user.set_gid(gid);
    }
}
