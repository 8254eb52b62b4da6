//! The program: words in, an exit code out.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    sublet::cli::main()
}
