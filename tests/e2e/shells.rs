//! What is made of the command line's definition: completions, in the shells
//! that they are for, and manual pages.

use std::fs;

use crate::common::*;

/// The script for a shell, in a file, and a PATH where `sublet` is the launcher.
fn prepared(shell: &str, name: &str) -> (Scratch, String, String) {
    let scratch = Scratch::new();
    let text = Program::sublet(&scratch).args(["completion", shell]).ok();
    let file = scratch.file(name, text + "\n");
    fs::create_dir(scratch.join("bin")).expect("make it");
    std::os::unix::fs::symlink(launcher(), scratch.join("bin/sublet")).expect("link it");
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", scratch.join("bin").display());
    (scratch, file, path)
}

/// A container whose name can be completed, once it has ended.
fn known(scratch: &Scratch) {
    Program::run_in(scratch).args(["--name", "completed", "host", "true"]).ok();
}

#[test]
fn bash_completes_verbs_flags_and_names() {
    requires!();
    let (scratch, file, path) = prepared("bash", "sublet.bash");
    known(&scratch);
    let script = r#"
        . "$1"
        complete -p sublet | grep -q '^complete .* sublet$'
        function=$(complete -p sublet | sed 's/.*-F \([^ ]*\).*/\1/')
        tell() {
            COMP_WORDS=(sublet "$@"); COMP_CWORD=$#; COMPREPLY=()
            $function sublet "${!#}" "${COMP_WORDS[COMP_CWORD-1]}" || true
            echo "${COMPREPLY[*]}"
        }
        tell doc; tell run --publish-; tell rm comp; tell completion ba
        tell exec comp; tell logs comp; tell port comp; tell port ad
        tell port add a; tell port add comp; tell healthcheck run ru; tell cp comp; tell cp none
        tell help exit; tell help runn; tell help pru
        tell run --network no; tell create --restart al; tell run --userns keep"#;
    let bash = Program::new("bash").args(["--norc", "-euc", script, "bash", &file]);
    let told = bash.at_home(&scratch).env("PATH", path).run();
    let expected = "doctor\n--publish-address\ncompleted\nbash\n\
                    completed\ncompleted\ncompleted\nadd\n\
                    \ncompleted\n\ncompleted:\n\n\
                    exit-codes\n\nprune\n\
                    none\nalways\nkeep-id";
    assert_eq!(told.ok(), expected);
    assert_eq!(told.stderr, "");
}

#[test]
fn zsh_loads_its_completion() {
    requires!(zsh);
    let (scratch, file, path) = prepared("zsh", "_sublet");
    known(&scratch);
    let directory = file.strip_suffix("/_sublet").expect("a directory");
    let script = r#"
        fpath=("$1" $fpath)
        autoload -Uz compinit; compinit -u -D
        [[ $_comps[sublet] == _sublet ]]
        autoload +X _sublet
        # Its helpers are there once it has run; run outside of a widget it can
        # only complain of that.
        _sublet 2>/dev/null || true
        compadd() { print -l -- ${(P)argv[-1]} }
        _sublet_names"#;
    let zsh = Program::new("zsh").args(["-f", "-ec", script, "zsh", directory]);
    let told = zsh.at_home(&scratch).env("PATH", path).run();
    assert_eq!((told.ok().as_str(), told.stderr.as_str()), ("completed", ""));
    Program::new("zsh").args(["-f", "-n", &file]).ok();
}

#[test]
fn fish_completes_verbs_flags_and_names() {
    requires!(fish);
    let (scratch, file, path) = prepared("fish", "sublet.fish");
    known(&scratch);
    let script =
        "source $argv[1]; for line in 'doc' 'run --publish-' 'rm comp' 'exec comp' 'logs comp' \
                  'cp comp' 'help exit' 'run --network no'
                  complete -C \"sublet $line\"; end";
    let fish = Program::new("fish").args(["--no-config", "-c", script, &file]);
    let told = fish.at_home(&scratch).env("PATH", path).run();
    let words: Vec<String> = told
        .ok()
        .lines()
        .map(|line| line.split('\t').next().unwrap_or_default().to_owned())
        .collect();
    let expected = [
        "doctor",
        "--publish-address",
        "completed",
        "completed",
        "completed",
        "completed:",
        "exit-codes",
        "none",
    ];
    assert_eq!(words, expected, "{}", told.stderr);
}

#[test]
fn manual_pages_have_no_mistake() {
    requires!(mandoc);
    let scratch = Scratch::new();
    let at = scratch.join("man1");
    Program::sublet(&scratch).arg("man").arg(&at).ok();
    let pages: Vec<_> =
        fs::read_dir(&at).expect("pages").map(|page| page.expect("one").path()).collect();
    assert!(pages.len() > 10, "{pages:?}");
    let lint = Program::new("mandoc").args(["-T", "lint", "-W", "warning"]).args(&pages).run();
    assert_eq!((lint.stdout().as_str(), lint.stderr.as_str()), ("", ""));
    let page = Program::new("mandoc").args(["-T", "ascii"]).arg(at.join("sublet-run.1")).ok();
    assert!(page.contains("Examples:"), "{page}");
    assert!(page.contains("ROOT is a directory"), "{page}");
    let line = "sublet run host -- ls /home             nothing of yours is there";
    assert!(page.contains(line), "columns stay: {page}");
    let topic = Program::new("mandoc").args(["-T", "ascii"]).arg(at.join("sublet-help-network.1"));
    assert!(topic.ok().contains("--network none         nothing but loopback"), "as in a terminal");
}
