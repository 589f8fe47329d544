//! The `speadway` command.

fn main() {}
