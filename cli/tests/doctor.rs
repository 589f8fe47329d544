//! `speadway doctor`, on this host and on hosts made of files.

mod common;

use std::fs;
use std::path::Path;

use common::{Scratch, json, run, stderr, stdout};

#[test]
fn this_host_is_looked_at() {
    let output = run(&["doctor", "--json", "--interface", "lo"]);
    let result = json(&output);
    assert_eq!(output.status.success(), result["well"] == true, "{result}");
    assert!(["0", "1"].contains(&output.status.code().unwrap().to_string().as_str()));
    let findings = result["findings"].as_array().unwrap();
    // One of each check at least: 17 of the host, 11 of the interface.
    assert!(findings.len() >= 28, "{result}");
    for finding in findings {
        assert!(!finding["found"].as_str().unwrap().is_empty(), "{finding}");
        let severity = finding["severity"].as_str().unwrap();
        let bad = severity == "advice" || severity == "problem";
        assert!(!bad || !finding["why"].as_str().unwrap().is_empty(), "{finding}");
        assert!(!bad || result["well"] == false, "{finding}");
    }
    let limit = findings.iter().find(|finding| finding["check"] == "rmem-max").unwrap();
    assert_ne!(limit["severity"], "unseen", "every user may read it: {limit}");
}

#[test]
fn a_setting_that_is_wrong_is_told_with_its_cure_and_the_exit_code() {
    let scratch = Scratch::new("doctor");
    let core = Path::new(scratch.path()).join("proc/sys/net/core");
    fs::create_dir_all(&core).unwrap();
    let examine = |limit: &str| {
        fs::write(core.join("rmem_max"), limit).unwrap();
        run(&["doctor", "--sysroot", scratch.path(), "--buffer", "16MiB"])
    };
    let output = examine("212992\n");
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("problem: receive buffers may have only 208 KiB"), "{text}");
    assert!(text.contains("\n    $ sysctl -w net.core.rmem_max=16777216\n"), "{text}");
    assert!(text.contains("could not look: there is no /proc/net/snmp here"), "{text}");
    let output = examine("16777216\n");
    assert!(output.status.success(), "{}", stdout(&output));
}

#[test]
fn an_interface_that_is_not_there_is_told() {
    let output = run(&["doctor", "--interface", "nosuchif9"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("there is no interface nosuchif9"), "{}", stderr(&output));
}
