//! The binary as its users meet it: what it prints, how it ends, and what it says when it cannot start.
//!
//! From: the built program, run as a process. For: people at a terminal and whoever starts it in a pod.
//! Deliberately absent: the simulator's behaviour (`tests/simulator/`) and single options (`src/arguments.rs`).

#![expect(clippy::unwrap_used, reason = "a test's own functions fail like the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything takes, even with all cores busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that is gone when the test is.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_discord-sim"));
    // Whoever runs the tests may have set some for a simulator of their own.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DISCORD_SIM_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the program runs")
}

/// Starts it at a free port; what it printed up to its last line, and the rest of its output.
fn started(arguments: &[&str]) -> (Process, String, impl Read) {
    let arguments = [&["--listen", "127.0.0.1:0"], arguments].concat();
    let mut child = command(&arguments).stdout(Stdio::piped()).spawn().expect("the program runs");
    let mut printed = BufReader::new(child.stdout.take().expect("piped"));
    let child = Process(child);
    let mut text = String::new();
    while !text.contains("Ctrl-C") {
        assert_ne!(printed.read_line(&mut text).unwrap(), 0, "it ended after: {text}");
    }
    (child, text, printed)
}

fn address(printed: &str) -> &str {
    let after = printed.split("discord-sim at http://").nth(1).expect("it says where it is");
    after.split(": ").next().unwrap_or_default()
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn end(process: &mut Process, signal: &str) -> ExitStatus {
    let id = process.0.id().to_string();
    assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = process.0.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "it does not end on SIG{signal}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn it_says_where_it_is_and_how_to_point_each_library_at_it_and_ends_with_0_when_told_to() {
    for signal in ["TERM", "INT"] {
        let (mut process, printed, _rest) = started(&["--guilds", "5000", "--shards", "4"]);
        let address = address(&printed).to_owned();
        assert!(printed.contains("5000 guilds, 4 shards recommended"), "{printed}");
        let libraries = ["twilight", "discord.py", "py-cord", "hikari", "discord.js", "@discordjs/ws"];
        for library in libraries.into_iter().chain(["oceanic.js", "discordgo", "JDA"]) {
            let line = printed.lines().find(|line| line.trim_start().starts_with(library));
            assert!(line.is_some(), "{library}: {printed}");
        }
        assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200"));
        assert!(get(&address, "/").contains("<title>discord-sim</title>"));
        assert_eq!(end(&mut process, signal).code(), Some(0), "SIG{signal}");
        assert!(TcpStream::connect(address).is_err(), "nothing listens any more");
    }
}

#[test]
fn the_lines_to_try_work_as_they_are_printed() {
    let (_process, printed, _rest) = started(&[]);
    let address = address(&printed);
    let lines: Vec<_> =
        printed.lines().filter_map(|line| line.split_once("curl ").map(|(_, rest)| rest)).collect();
    assert_eq!(lines.len(), 4, "{printed}");
    for line in lines {
        let (url, body) = line.split_once(" -d ").unwrap_or((line, ""));
        let (url, body) = (url.trim_matches('\''), body.trim_matches('\''));
        let path = url.strip_prefix(&format!("http://{address}")).expect("at this simulator");
        let method = if body.is_empty() { "GET" } else { "POST" };
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{line}: {answer}");
    }
}

#[test]
fn output_that_cannot_be_written_does_not_end_it() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut process =
        Process(command(&["--listen", "127.0.0.1:0"]).stdout(full).spawn().expect("the program runs"));
    // It listens for signals before it prints, so from then on it ends by itself or not at all.
    let status = format!("/proc/{}/status", process.0.id());
    let deadline = Instant::now() + PATIENCE;
    while !catches_sigterm(&std::fs::read_to_string(&status).unwrap()) {
        assert!(Instant::now() < deadline, "it never listens for SIGTERM");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(end(&mut process, "TERM").code(), Some(0));
}

fn catches_sigterm(status: &str) -> bool {
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("Linux says it");
    u64::from_str_radix(caught.trim(), 16).unwrap() & 1 << 14 != 0
}

#[test]
fn a_port_in_use_ends_it_with_1_and_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = output(&["--listen", &address]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in ["--listen", &address, "something else listens there", "choose another port", "in use"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(output.stdout.is_empty(), "it says nothing else");
}

#[test]
fn bad_options_end_it_with_2_and_the_remedy() {
    let folder = env!("CARGO_MANIFEST_DIR");
    let table: [(&[&str], &str); 7] = [
        (&["--listen", "127.0.0.1:99999"], "a port from 0 to 65535"),
        (&["--shards", "0"], "from 1 to 100000"),
        (&["--guilds", "x"], "from 0 to 500000"),
        (&["--public-url", "nonsense"], "use ws://host:port"),
        (&["--token-file", folder], "one token a line: Is a directory"),
        (&["--identify-total", "5", "--identify-remaining", "6"], "use 0 to 5"),
        (&["--guild", "3"], "a similar argument exists: '--guilds'"),
    ];
    for (arguments, words) in table {
        let output = output(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(words) && said.contains(arguments[0]), "{arguments:?}: {said}");
    }
}

#[test]
fn help_explains_every_option_with_its_default_and_its_variable() {
    let output = output(&["--", "--help"]);
    let help = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    let options: Vec<_> = help.split("\n      --").skip(1).collect();
    assert_eq!(options.len(), 20, "{help}");
    for option in options {
        let name = option.split(' ').next().unwrap_or_default();
        let variable = format!("[env: DISCORD_SIM_{}", name.to_uppercase().replace('-', "_"));
        assert!(option.contains(&variable), "{variable}: {option}");
        assert!(option.contains("[default: ") || name == "token-file", "{option}");
    }
}
