//! A browser of a test's own: headless, in a process group and a folder of its own, gone with the test.
//!
//! From: `chromium.rs`. For: tests, which look at a page by evaluating what a person would see in it. A condition is watched in
//! the page itself, at every change of it. Deliberately absent: pictures; screenshots are for eyes.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::chromium;
use crate::devtools::DevTools;

/// Longer than anything takes, even with all cores busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// For a browser that was told to end.
const GOODBYE: Duration = Duration::from_secs(5);

/// No sandbox, since tests may run as root in a container, and only simulators are looked at. Nothing but this machine can be
/// reached, so that what Chromium does by itself stays here.
const FLAGS: [&str; 14] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-breakpad",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
    "about:blank",
];

/// A running browser.
pub struct Browser {
    devtools: DevTools,
    // Fields go in this order: first the processes, then what they wrote.
    _processes: Processes,
}

/// A page in a tab.
pub struct Page<'a> {
    devtools: &'a DevTools,
    tab: String,
}

/// The browser and its children, in one group; and their folder.
struct Processes {
    child: Child,
    home: Option<TempDir>,
}

impl Browser {
    /// Starts one; it is there when this returns.
    pub async fn start() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(chromium::program());
        command.arg(format!("--user-data-dir={}", home.path().join("profile").display())).args(FLAGS);
        for variable in ["HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"] {
            command.env(variable, home.path());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let child = command.spawn().expect("the browser runs");
        let mut processes = Processes { child, home: Some(home) };
        let stderr = processes.child.stderr.take().expect("piped");
        let (address, said) = listen(stderr);
        let address = tokio::time::timeout(PATIENCE, address).await;
        let address = address.ok().and_then(Result::ok);
        let address = address
            .unwrap_or_else(|| panic!("the browser does not say where it listens: {}", said.lock().unwrap()));
        Self { devtools: DevTools::connect(&address).await, _processes: processes }
    }

    /// Opens a page in a tab of its own; what it does is written down from the beginning.
    pub async fn open(&self, url: &str) -> Page<'_> {
        let target = self.devtools.call(None, "Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.devtools.call(None, "Target.attachToTarget", attach).await;
        let tab = attached["sessionId"].as_str().expect("a session").to_owned();
        let page = Page { devtools: &self.devtools, tab };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), json!({})).await;
        }
        let loaded = page.call("Page.navigate", json!({ "url": url })).await;
        assert!(loaded["errorText"].is_null(), "{loaded}");
        page
    }
}

impl Page<'_> {
    /// A command of the DevTools protocol for this tab.
    pub async fn call(&self, method: &str, parameters: Value) -> Value {
        self.devtools.call(Some(&self.tab), method, parameters).await
    }

    /// What an expression is now.
    pub async fn value(&self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", asked).await;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true. It is looked at whenever the page changes; while the page is still being read, what
    /// it names may not be there yet.
    pub async fn until(&self, condition: &str) {
        let watch = format!(
            "new Promise((done) => {{
                const holds = () => {{ try {{ return {condition}; }} catch {{ return false; }} }};
                const look = () => holds() && (observer.disconnect(), done(true));
                const observer = new MutationObserver(look);
                observer.observe(document, {{ subtree: true, childList: true, attributes: true, characterData: true }});
                look();
            }})"
        );
        if tokio::time::timeout(PATIENCE, self.value(&watch)).await.is_err() {
            let text = self.value("document.body.innerText").await;
            panic!("waited for {condition}; the page says: {}", text.as_str().unwrap_or_default());
        }
    }

    /// Waits until the text of an element of that selector contains this.
    pub async fn until_text(&self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        let condition = format!(
            "[...document.querySelectorAll({selector})].some((one) => one.textContent.includes({text}))"
        );
        self.until(&condition).await;
    }

    /// Presses a key and lets go of it.
    pub async fn press(&self, key: &str) {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({ "type": kind, "key": key, "text": text })).await;
        }
    }

    /// No exception, no error, no warning, nothing that its policy refused.
    pub fn complained_about_nothing(&self) {
        let kinds = ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"];
        let complaints = self.devtools.events(&self.tab, &kinds);
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    /// It asked for something, and only here.
    pub fn asked_only(&self, url: &str) {
        let requests = self.devtools.events(&self.tab, &["Network.requestWillBeSent"]);
        let asked: Vec<_> =
            requests.iter().map(|one| one["request"]["url"].as_str().unwrap_or_default()).collect();
        assert!(asked.iter().any(|one| one.contains("/ledger?")), "{asked:?}");
        let elsewhere: Vec<_> = asked.iter().filter(|one| !one.starts_with(url)).collect();
        assert!(elsewhere.is_empty(), "{elsewhere:?}");
    }
}

/// Reads what the browser says to its end: the address of its DevTools as soon as it says it, and all of it for errors.
fn listen(stderr: ChildStderr) -> (oneshot::Receiver<String>, Arc<Mutex<String>>) {
    let (tell, address) = oneshot::channel();
    let all = Arc::new(Mutex::new(String::new()));
    let said = Arc::clone(&all);
    std::thread::spawn(move || {
        let mut tell = Some(tell);
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("DevTools listening on ")
                && let Some(tell) = tell.take()
            {
                let _ = tell.send(address.to_owned());
            }
            let mut said = said.lock().unwrap();
            said.push_str(&line);
            said.push('\n');
        }
    });
    (address, all)
}

impl Drop for Processes {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // Asked to, it ends its children itself; whatever is left of the group after that, or does not listen, is killed.
        if let Some(group) = group {
            let _ = kill_process(group, Signal::TERM);
            let deadline = Instant::now() + GOODBYE;
            while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
        // What was killed dies a moment later, and until then may write.
        let folder = self.home.take().map(TempDir::keep);
        let deadline = Instant::now() + GOODBYE;
        while let Some(folder) = folder.as_ref().filter(|folder| folder.exists()) {
            let removed = std::fs::remove_dir_all(folder);
            if removed.is_err() && Instant::now() > deadline {
                eprintln!("{} is left: {removed:?}", folder.display());
                break;
            }
        }
    }
}
