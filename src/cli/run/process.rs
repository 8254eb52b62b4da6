//! What runs, and with what.

use clap::Args;
use oci_spec::runtime::PosixRlimit;

use super::caller::Caller;
use super::environment::EnvironmentArgs;
use super::typed;
use crate::spec::env::{Environment, Variable};
use crate::spec::sockets::Sockets;
use crate::spec::{Spec, Stdin, process, rlimit};

#[derive(Debug, Args)]
#[command(next_help_heading = "Process")]
pub struct ProcessArgs {
    /// Let it read your standard input
    #[arg(short, long)]
    interactive: bool,

    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,

    #[command(flatten)]
    variables: EnvironmentArgs,

    /// Where it starts
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,

    /// What to run before COMMAND: a program, or a JSON array
    #[arg(long, value_name = "PROGRAM|JSON")]
    entrypoint: Option<String>,

    /// Its file mode creation mask [default: 0022]
    #[arg(long, value_name = "MODE")]
    umask: Option<String>,

    /// A limit of its own: nofile, nproc, stack...; -1 for none
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,

    /// How willingly the kernel kills it for memory, -1000 to 1000
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    oom_score_adj: Option<String>,

    /// Let it have your open files 3 to 2+N, behind what systemd has handed on
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    preserve_fds: u32,
}

impl ProcessArgs {
    pub fn enter(
        self,
        spec: &mut Spec,
        command: Vec<String>,
        caller: &Caller,
        warnings: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        spec.beside.stdin = if self.interactive { Stdin::Inherit } else { Stdin::Null };

        spec.beside.preserve_fds = self.preserve_fds;
        let env = self.environment(spec, caller, warnings)?.into_strings();
        let process = spec.process_mut();
        process.set_terminal(Some(self.tty)).set_env(Some(env));
        process.set_rlimits(Some(self.rlimits()?));
        spec.hand(&Sockets::read(&caller.variable, std::process::id()));
        let process = spec.process_mut();
        let mut args = match &self.entrypoint {
            Some(entrypoint) => typed("--entrypoint", entrypoint, process::entrypoint)?,
            None => Vec::new(),
        };
        args.extend(command);
        process.set_args(Some(args));
        if let Some(workdir) = &self.workdir {
            process.set_cwd(typed("--workdir", workdir, process::workdir)?);
        }
        if let Some(umask) = &self.umask {
            let umask = typed("--umask", umask, process::umask)?;
            process.user_mut().set_umask(Some(umask));
        }
        if let Some(score) = &self.oom_score_adj {
            let score = typed("--oom-score-adj", score, process::oom_score_adj)?;
            process.set_oom_score_adj(Some(score));
        }
        Ok(())
    }

    /// Nothing of the caller's but what was named. HOME is missing: the plan
    /// adds it when the user has been looked up.
    fn environment(
        &self,
        spec: &Spec,
        caller: &Caller,
        warnings: &mut Vec<String>,
    ) -> anyhow::Result<Environment> {
        let mut environment = Environment::default();
        environment.set(Variable::new("PATH", process::PATH));
        if self.tty {
            let term = (caller.variable)("TERM").and_then(|term| term.into_string().ok());
            environment.set(Variable::new("TERM", term.as_deref().unwrap_or("xterm")));
        }
        if let Some(hostname) = spec.oci.hostname() {
            environment.set(Variable::new("HOSTNAME", hostname));
        }
        environment.set(Variable::new("container", "sublet"));
        self.variables.enter(&mut environment, &caller.variable, warnings)?;
        Ok(environment)
    }

    /// The last of a name holds. Unless it is asked for there are no core
    /// files: the host's kernel.core_pattern would write them, and the
    /// container's memory has no business there.
    fn rlimits(&self) -> anyhow::Result<Vec<PosixRlimit>> {
        let mut limits = vec![rlimit::rlimit("core=0")?];
        for text in &self.ulimit {
            let limit = typed("--ulimit", text, rlimit::rlimit)?;
            limits.retain(|earlier| earlier.typ() != limit.typ());
            limits.push(limit);
        }
        Ok(limits)
    }
}
