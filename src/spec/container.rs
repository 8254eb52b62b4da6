//! The container that is asked for where nothing else is said.

use std::path::PathBuf;

use oci_spec::runtime::{
    Linux, LinuxNamespace, LinuxNamespaceType, Process, Root as OciRoot, Spec as Oci,
};

use crate::security::caps::CapSet;

use super::background::{Log, Notify, Restart, Stop};
use super::known::Known;
use super::network::{Names, Network};
use super::resources::control::Control;
use super::{Beside, ContainerId, Lifetime, Root, Seccomp, Spec, Stdin, Userns};

/// The version of the runtime specification that is written.
const OCI_VERSION: &str = "1.2.0";

impl Spec {
    /// A container over `root` with seven namespaces of its own and nothing
    /// asked of its process; mounts, masks, capabilities and environment are
    /// still to be filled.
    pub fn new(id: ContainerId, root: Root) -> Self {
        let mut process = Process::default();
        process
            .set_args(Some(Vec::new()))
            .set_env(Some(Vec::new()))
            .set_capabilities(None)
            .set_rlimits(None)
            .set_no_new_privileges(Some(true));
        process.user_mut().set_umask(Some(0o022));

        let mut linux = Linux::default();
        linux
            .set_resources(None)
            .set_masked_paths(None)
            .set_readonly_paths(None)
            .set_namespaces(Some(NAMESPACES.map(own).into()));

        let mut oci = Oci::default();
        oci.set_version(OCI_VERSION.to_owned())
            .set_root(Some(oci_root(&root)))
            .set_hostname(None)
            .set_mounts(None)
            .set_process(Some(process))
            .set_linux(Some(linux))
            .set_annotations(None);

        let beside = Beside {
            id,
            name: None,
            known: Known::default(),
            root,
            userns: Userns::Auto,
            user: None,
            groups: Vec::new(),
            keep_groups: false,
            devices: Vec::new(),
            added_capabilities: CapSet::EMPTY,
            exact_capabilities: false,
            lifetime: Lifetime::WithLauncher,
            seccomp: Seccomp::Default,
            init: false,
            stdin: Stdin::Null,
            preserve_fds: 0,
            sockets: 0,
            nested: false,
            etc_files: true,
            control: Control::default(),
            timeout: None,
            network: Network::default(),
            names: Names::default(),
            ports: Vec::new(),
            services: Vec::new(),
            log: Log::default(),
            restart: Restart::No,
            stop: Stop::default(),
            notify: Notify::Ignore,
            health: None,
        };
        Self { oci, beside }
    }

    /// `oci.process`.
    pub fn process_mut(&mut self) -> &mut Process {
        self.oci.process_mut().get_or_insert_default()
    }

    /// `oci.linux`.
    pub fn linux_mut(&mut self) -> &mut Linux {
        self.oci.linux_mut().get_or_insert_default()
    }

    /// Has the container share this namespace with its host.
    pub fn share(&mut self, namespace: LinuxNamespaceType) {
        let namespaces = self.linux_mut().namespaces_mut().get_or_insert_default();
        namespaces.retain(|own| own.typ() != namespace);
    }

    /// Has the container go into the namespace at `path` instead of one of its
    /// own.
    pub fn join(&mut self, namespace: LinuxNamespaceType, path: PathBuf) {
        let namespaces = self.linux_mut().namespaces_mut().get_or_insert_default();
        for own in namespaces.iter_mut().filter(|own| own.typ() == namespace) {
            own.set_path(Some(path.clone()));
        }
    }

    /// Whether the container shares this namespace with its host.
    pub fn shares(&self, namespace: LinuxNamespaceType) -> bool {
        let own = self.oci.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
        !own.is_some_and(|own| own.iter().any(|own| own.typ() == namespace))
    }
}

const NAMESPACES: [LinuxNamespaceType; 7] = [
    LinuxNamespaceType::User,
    LinuxNamespaceType::Pid,
    LinuxNamespaceType::Mount,
    LinuxNamespaceType::Uts,
    LinuxNamespaceType::Ipc,
    LinuxNamespaceType::Network,
    LinuxNamespaceType::Cgroup,
];

fn own(kind: LinuxNamespaceType) -> LinuxNamespace {
    let mut namespace = LinuxNamespace::default();
    namespace.set_typ(kind);
    namespace
}

fn oci_root(root: &Root) -> OciRoot {
    let (path, readonly) = match root {
        Root::Directory(path) | Root::Overlay(path) => (path.clone(), false),
        Root::Host => ("/".into(), true),
    };
    let mut oci = OciRoot::default();
    oci.set_path(path).set_readonly(Some(readonly));
    oci
}
