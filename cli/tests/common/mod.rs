//! What the tests of the command share.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::process::{Command, Output};

use serde_json::Value;

/// The command, with nothing of the user's settings.
pub(crate) fn speadway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_speadway"));
    command.env_remove("RUST_LOG");
    command
}

/// Runs the command to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    speadway().args(arguments).output().expect("the command runs")
}

/// What it wrote to standard output.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// What it wrote to standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// Its standard output as one JSON value.
pub(crate) fn json(output: &Output) -> Value {
    let text = stdout(output);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{}", stderr(output)))
}
